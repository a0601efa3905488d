"""What the service does for its callers, one class a use; knows nothing of HTTP."""
