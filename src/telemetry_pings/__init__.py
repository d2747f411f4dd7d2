"""Usage pings for tools and libraries that report home: they never bother the user, and ask for leave each time.

Stands alone, on the standard library, and imports little: a tool that starts in milliseconds must stay so.
"""

from telemetry_pings.background import BackgroundEventLogger
from telemetry_pings.delivery import InvalidEndpointError
from telemetry_pings.event_logger import EventLogger
from telemetry_pings.opt_out import opt_out_variable

__all__ = ["BackgroundEventLogger", "EventLogger", "InvalidEndpointError", "opt_out_variable"]
