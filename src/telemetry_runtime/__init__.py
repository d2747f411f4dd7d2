"""The edge of a process: settings, listening addresses, certificates, watched files, forks, bounded HTTP serving.

Each public name is imported when it is first used.
"""

from typing import TYPE_CHECKING

from telemetry_runtime.lazy_face import load_lazily

if TYPE_CHECKING:
    from telemetry_runtime.privacy_settings import ConsentSettings, PrivacySettings
else:
    __getattr__ = load_lazily(
        __name__,
        {
            "ConsentSettings": "privacy_settings",
            "PrivacySettings": "privacy_settings",
        },
    )

__all__ = [
    "ConsentSettings",
    "PrivacySettings",
]
