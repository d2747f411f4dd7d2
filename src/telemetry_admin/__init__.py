"""Admin page: shows operators the recorded events, the export queue and the exported events."""

from typing import TYPE_CHECKING

from telemetry_runtime.lazy_face import load_lazily

if TYPE_CHECKING:
    from telemetry_admin.access import Access
    from telemetry_admin.app import admin_app, app_from_settings
    from telemetry_admin.settings import AdminSettings
else:
    __getattr__ = load_lazily(
        __name__,
        {
            "Access": "access",
            "AdminSettings": "settings",
            "admin_app": "app",
            "app_from_settings": "app",
        },
        extra="admin",
    )

__all__ = [
    "Access",
    "AdminSettings",
    "admin_app",
    "app_from_settings",
]
