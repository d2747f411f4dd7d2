"""Admin page: shows operators the recorded events, the export queue and the exported events."""

from telemetry_admin.access import Access
from telemetry_admin.app import admin_app, app_from_settings
from telemetry_admin.settings import AdminSettings

__all__ = [
    "Access",
    "AdminSettings",
    "admin_app",
    "app_from_settings",
]
