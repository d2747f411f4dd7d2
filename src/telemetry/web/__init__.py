"""The context of events from a web request, for ASGI and WSGI."""
