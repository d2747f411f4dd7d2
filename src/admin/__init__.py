"""The page on which operators see what is recorded, what waits and what left."""

from admin.access import Access
from admin.app import admin_app, app_from_settings
from admin.settings import AdminSettings

__all__ = [
    "Access",
    "AdminSettings",
    "admin_app",
    "app_from_settings",
]
