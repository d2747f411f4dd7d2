"""Django middleware that sets the context of events from the request, under WSGI and ASGI, for sync and async views.

MIDDLEWARE = ["telemetry_django.TelemetryContextMiddleware", ...]

Optional Django settings, read once when Django creates the middleware:

    TELEMETRY_REQUEST_HEADERS = {"client": "X-Client", "country": "CF-IPCountry"}  # fields of RequestHeaders
    TELEMETRY_IDENTIFY = "shop.telemetry.identify"  # function that returns more context of a request

Importing `telemetry` imports neither this module nor Django.
"""

from telemetry_django.middleware import TelemetryContextMiddleware

__all__ = ["TelemetryContextMiddleware"]
