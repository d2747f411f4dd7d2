"""Usage pings for tools and libraries. They never disturb the user, and check for an opt-out before each attempt.

Depends only on the standard library and imports little of it, so that it does not slow down the start of a tool.
"""

from telemetry_pings.background import BackgroundEventLogger
from telemetry_pings.delivery import InvalidEndpointError
from telemetry_pings.event_logger import EventLogger
from telemetry_pings.opt_out import opt_out_variable

__all__ = ["BackgroundEventLogger", "EventLogger", "InvalidEndpointError", "opt_out_variable"]
