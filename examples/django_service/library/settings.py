"""Django's settings."""

import os
from pathlib import Path

SECRET_KEY = os.environ.get("LIBRARY_SECRET_KEY", "")  # Django rejects an empty key
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "library.urls"
WSGI_APPLICATION = "library.wsgi.application"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("LIBRARY_DATABASE", Path(__file__).parents[1] / "library.db"),
    }
}
MIDDLEWARE = [
    "telemetry_django.TelemetryContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
USE_TZ = True

# X-Country is set by a trusted proxy.
TELEMETRY_REQUEST_HEADERS = {"client": "X-Client", "country": "X-Country"}
TELEMETRY_IDENTIFY = "library.recording.identify"
