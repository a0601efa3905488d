"""The doors that are not HTTP: other systems' protocols into the one ingest."""
