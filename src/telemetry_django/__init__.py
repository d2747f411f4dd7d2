"""Sets the context of events from a request, in Django, behind WSGI and ASGI, for views of both kinds.

MIDDLEWARE = ["telemetry_django.TelemetryContextMiddleware", ...]

Settings, all optional, read once, when Django makes the middleware:

    TELEMETRY_REQUEST_HEADERS = {"client": "X-Client", "country": "CF-IPCountry"}  # fields of RequestHeaders
    TELEMETRY_IDENTIFY = "shop.telemetry.identify"  # what else is known of a request

Importing `telemetry` does not import this module, nor Django.
"""

from telemetry_django.middleware import TelemetryContextMiddleware

__all__ = ["TelemetryContextMiddleware"]
