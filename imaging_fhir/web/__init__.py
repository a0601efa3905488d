"""Flask: requests in, answers out; what is done in between is in services."""
