"""The way of a request: check → queue → worker process → answer."""
