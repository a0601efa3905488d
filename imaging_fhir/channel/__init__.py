"""Notifications out of the house: to whom they may go, and how they are sent."""
