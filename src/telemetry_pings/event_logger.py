"""Sends a ping and returns whether it arrived. Never raises for a failure."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

from telemetry_pings.delivery import Clock, Deadline, Endpoint, Style
from telemetry_pings.opt_out import opt_out_variable

_ONCE: dict[tuple[int, str, bytes], object] = {}


class Outcome(Enum):
    """The outcome of an attempt."""

    SENT = "sent"
    """The server accepted the ping."""
    REFUSED = "refused"
    """The server rejected the ping, or the user opted out: a retry would not help."""
    FAILED = "failed"
    """The ping may not have arrived."""


class EventLogger:
    """Sends usage pings from a tool or a library, to our ingest service or to Scarf.

        EventLogger("https://telemetry.example.com/my-tool").log_event({"version": "1.4", "command": "build"})

    Sends nothing if the user opted out (`DO_NOT_TRACK`, `SCARF_NO_ANALYTICS`, `SCARF_ANALYTICS`), which is checked on
    each call. Never raises for a failure and never prints. Uses no proxy and follows no redirect, so that a ping
    reaches only the server that it is meant for.

    Args:
        endpoint_url: The URL to send to, `https://` or `http://`.
        timeout: Maximum duration of a call in total, in seconds.
        style: `json`: properties as a JSON body. `query`: as query parameters, with values as text.
        explain: Called with the reason why a ping was not sent, for debugging; by default nothing is called.
        environ: The environment to check for an opt-out; by default that of this process.
        clock: A monotonic clock, in seconds.

    Raises:
        InvalidEndpointError: The endpoint is not a valid URL for pings: a developer's mistake, not the user's.
    """

    def __init__(
        self,
        endpoint_url: str,
        timeout: float = 3.0,
        *,
        style: Style = "json",
        explain: Callable[[str], None] | None = None,
        environ: Mapping[str, str] = os.environ,
        clock: Clock = time.monotonic,
    ) -> None:
        self._url = endpoint_url
        self._endpoint = Endpoint(endpoint_url)
        self._timeout = timeout
        self._style: Style = style
        self._explain = explain
        self._environ = environ
        self._clock = clock

    def log_event(self, properties: Mapping[str, Any], *, once: bool = False, timeout: float | None = None) -> bool:
        """Send a ping, and return whether the server accepted it (any status below 400).

        Args:
            properties: JSON-serialisable values; may be empty.
            once: Attempt equal pings only once per process, across all loggers. A forked child counts as another
                process.
            timeout: Overrides the logger's timeout, in seconds.
        """
        request = self.prepare(properties, once=once)
        return request is not None and self.deliver(request, timeout) is Outcome.SENT

    def prepare(self, properties: Mapping[str, Any], *, once: bool = False) -> bytes | None:
        """Return the request of a ping, for `deliver`; None if it must not be sent.

        `log_event` calls this, then `deliver`. They are separate so that another thread can deliver.
        """
        if self.opted_out():
            return None
        try:
            request = self._endpoint.request(properties, self._style)
        except Exception as error:  # noqa: BLE001 - the caller's properties can be any objects
            # SECURITY: report the class only, because the message may quote a property.
            self.report(f"the properties cannot be sent: {type(error).__name__}")
            return None
        if once:
            token = object()
            # Atomic, so that one of two threads wins, without a lock that a fork could leave locked.
            if _ONCE.setdefault((os.getpid(), self._url, request), token) is not token:
                self.report("already sent by this process")
                return None
        return request

    def deliver(self, request: bytes, timeout: float | None = None) -> Outcome:
        """Send a request that `prepare` returned."""
        if self.opted_out():
            return Outcome.REFUSED
        try:
            deadline = Deadline(self._timeout if timeout is None else timeout, self._clock)
            status = self._endpoint.deliver(request, deadline)
        except Exception as error:  # noqa: BLE001 - a failure must not affect the user
            self.report(f"not sent: {type(error).__name__}: {error}")
            return Outcome.FAILED
        if status < 400:  # noqa: PLR2004 - HTTP error statuses
            return Outcome.SENT
        self.report(f"the server responded with status {status}")
        # Retry after 408, 429 and server errors, which are temporary.
        return Outcome.FAILED if status >= 500 or status in (408, 429) else Outcome.REFUSED  # noqa: PLR2004 - HTTP's

    def opted_out(self) -> bool:
        """Return whether the user has opted out, now."""
        # SECURITY: checked before each attempt.
        variable = opt_out_variable(self._environ)
        if variable is not None:
            self.report(f"the user opted out: {variable}")
        return variable is not None

    def report(self, why: str) -> None:
        """Call `explain`, if it was given."""
        if self._explain is not None:
            with suppress(Exception):
                self._explain(why)
