"""Sends one ping and says whether it arrived, whatever happens."""

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
    """What became of an attempt."""

    SENT = "sent"
    """The server took it."""
    REFUSED = "refused"
    """The server, or the user, will not have it: another attempt would not help."""
    FAILED = "failed"
    """It may not have arrived."""


class EventLogger:
    """Sends usage pings to a collector of ours, or to any of Scarf's, from a tool or a library.

        EventLogger("https://telemetry.example.com/my-tool").log_event({"version": "1.4", "command": "build"})

    Sends nothing when the user opted out (`DO_NOT_TRACK`, `SCARF_NO_ANALYTICS`, `SCARF_ANALYTICS`), which is asked at
    each call. Never raises for a failure and never prints. Uses no proxy, and follows no redirect: what is meant
    for one server goes to no other.

    Args:
        endpoint_url: Where to send, `https://` or `http://`.
        timeout: The most seconds that a call may take, all in all.
        style: `json`: properties as a JSON body. `query`: as parameters of the URL, values as text.
        explain: Told in words why a ping was not sent, for its developer; by default nobody is.
        environ: Where the user may have opted out; by default this process's environment.
        clock: Tells seconds from some point on.

    Raises:
        InvalidEndpointError: The endpoint is no URL that can be pinged: a developer's mistake, not the user's.
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
        """Sends one ping, and returns whether a server took it (any status under 400).

        Args:
            properties: What JSON can hold; may be empty.
            once: Of equal pings this process attempts one, whichever logger it is given to. A forked child is a process
                of its own.
            timeout: In place of the logger's.
        """
        request = self.prepare(properties, once=once)
        return request is not None and self.deliver(request, timeout) is Outcome.SENT

    def prepare(self, properties: Mapping[str, Any], *, once: bool = False) -> bytes | None:
        """Returns the request of a ping, for `deliver`; None where none is to be sent.

        `log_event` is this, then `deliver`; they are apart for those who deliver in another thread.
        """
        if self.opted_out():
            return None
        try:
            request = self._endpoint.request(properties, self._style)
        except Exception as error:  # noqa: BLE001 - the properties are the caller's, and may be anything
            # SECURITY: the class alone; the text may quote a property.
            self.tell(f"the properties cannot be sent: {type(error).__name__}")
            return None
        if once:
            token = object()
            # One step, so that of two threads one wins, and no lock that a fork could leave locked.
            if _ONCE.setdefault((os.getpid(), self._url, request), token) is not token:
                self.tell("was sent before by this process")
                return None
        return request

    def deliver(self, request: bytes, timeout: float | None = None) -> Outcome:
        """Sends what `prepare` returned."""
        if self.opted_out():
            return Outcome.REFUSED
        try:
            deadline = Deadline(self._timeout if timeout is None else timeout, self._clock)
            status = self._endpoint.deliver(request, deadline)
        except Exception as error:  # noqa: BLE001 - nothing of this is the user's concern
            self.tell(f"not sent: {type(error).__name__}: {error}")
            return Outcome.FAILED
        if status < 400:  # noqa: PLR2004 - HTTP's border
            return Outcome.SENT
        self.tell(f"the server answered {status}")
        # 408 and 429 ask for another attempt, and a server's own failure passes.
        return Outcome.FAILED if status >= 500 or status in (408, 429) else Outcome.REFUSED  # noqa: PLR2004 - HTTP's

    def opted_out(self) -> bool:
        """Returns whether the user wants nothing to be sent, now."""
        # SECURITY: asked before each attempt.
        variable = opt_out_variable(self._environ)
        if variable is not None:
            self.tell(f"the user opted out: {variable}")
        return variable is not None

    def tell(self, why: str) -> None:
        """Tells the developer, where there is one who wants to know."""
        if self._explain is not None:
            with suppress(Exception):
                self._explain(why)
