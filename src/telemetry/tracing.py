"""OpenTelemetry spans, if the host has set up OpenTelemetry; otherwise nothing.

OpenTelemetry is never imported here. A host that uses it has imported it already; for others the cost is a
lookup in a dictionary.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

_SCOPE: Final = "telemetry-recorder"

Fact = str | int | float | bool
Facts = Mapping[str, Fact | None]
"""Attributes of a span; those that are None are omitted."""


class Span:
    """A span that does nothing, for hosts without tracing. Used in a `with` statement.

    Attributes:
        recording: Whether the span is recorded, so that setting attributes is worthwhile.
    """

    recording = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span."""

    def set_attributes(self, facts: Facts) -> None:
        """Set the attributes that are not None.

        SECURITY: the host may send traces anywhere: never set a parameter's value, a token or a peer's text.
        """

    def fail(self, error_type: str) -> None:
        """Mark the operation as failed, with the type of the error."""


class _HostSpan(Span):
    """A span of the host's tracer. A failure of tracing never affects the traced operation."""

    def __init__(self, tracer: Any, name: str, facts: Callable[[], Facts] | None) -> None:
        self._facts = facts
        # Do not let the tracer record exceptions: it would store their messages and stacks.
        self._opened = tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)
        self._span: Any = None

    def __enter__(self) -> Self:
        with contextlib.suppress(Exception):
            self._span = self._opened.__enter__()
            self.recording = bool(self._span.is_recording())
            if self.recording and self._facts is not None:
                self.set_attributes(self._facts())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._span is None:
            return
        if kind is not None:
            self.fail(kind.__name__)
        with contextlib.suppress(Exception):
            self._opened.__exit__(None, None, None)

    def set_attributes(self, facts: Facts) -> None:
        if self.recording:
            with contextlib.suppress(Exception):
                self._span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})

    def fail(self, error_type: str) -> None:
        if self.recording:
            with contextlib.suppress(Exception):
                status = sys.modules["opentelemetry.trace"].StatusCode.ERROR
                self._span.set_attribute("error.type", error_type)
                self._span.set_status(status)


_NO_SPAN: Final = Span()
_last_seen: tuple[Any, Any] = (None, None)
"""The host's provider and our tracer from it, cached because creating a tracer costs more than a span."""


def span(name: str, facts: Callable[[], Facts] | None = None) -> Span:
    """Return a span; entering it makes it the current span of its thread or task.

    Args:
        name: Name of the operation; a constant.
        facts: Returns the initial attributes; called only if the span is recorded.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return _NO_SPAN
    try:
        tracer = _tracer(trace)
        return _NO_SPAN if tracer is None else _HostSpan(tracer, name, facts)
    except Exception:  # noqa: BLE001 - a failure of tracing must not affect recording
        return _NO_SPAN


def _tracer(trace: Any) -> Any:
    global _last_seen  # noqa: PLW0603 - a cache; concurrent threads may each create a tracer
    provider = trace.get_tracer_provider()
    known, tracer = _last_seen
    if provider is not known:
        # The provider is a proxy if the API was imported but not set up.
        tracer = None if isinstance(provider, trace.ProxyTracerProvider) else provider.get_tracer(_SCOPE)
        _last_seen = (provider, tracer)
    return tracer
