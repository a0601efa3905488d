"""Repeatable measurements of what the service does most, each with its growth."""
