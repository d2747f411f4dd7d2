"""The OAuth 2.0 scope of the wire contract."""

from typing import Final

EVENTS_WRITE_SCOPE: Final = "telemetry_gateway::events::write"
"""What an exporter asks for, and what a gateway demands."""
