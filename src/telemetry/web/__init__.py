"""The context of events from a web request. The middleware is in `telemetry.web.asgi` and `telemetry.web.wsgi`."""

from telemetry.web.request_context import Identify, RequestHeaders

__all__ = ["Identify", "RequestHeaders"]
