"""Serves ASGI applications over HTTP with bounds on time, size and connections."""
