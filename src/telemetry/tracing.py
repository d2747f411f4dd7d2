"""Spans of OpenTelemetry, where the host has set it up; nothing where it has not.

OpenTelemetry is never imported here. A host that has set it up has imported it, and others pay a look into
a dictionary.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

_SCOPE: Final = "telemetry-recorder"

Fact = str | int | float | bool
Facts = Mapping[str, Fact | None]
"""What a span may be told, by name; what is None is left out."""


class Span:
    """A span that nobody asked for: it does nothing. Used in a `with` statement.

    Attributes:
        recording: Whether it is worth telling it anything.
    """

    recording = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it."""

    def tell(self, facts: Facts) -> None:
        """Sets attributes, those that are not None.

        SECURITY: traces go where the host sends them: no parameter's value, no token, no text of a peer's in them.
        """

    def fail(self, error_type: str) -> None:
        """Says that what it stands for did not go well, and of what kind that was."""


class _HostsSpan(Span):
    """A span of the host's tracer. Whatever is wrong with tracing costs the work that is traced nothing."""

    def __init__(self, tracer: Any, name: str, facts: Callable[[], Facts] | None) -> None:
        self._facts = facts
        # Not the tracer's own way with exceptions: it would write down their texts and stacks.
        self._opened = tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)
        self._span: Any = None

    def __enter__(self) -> Self:
        with contextlib.suppress(Exception):
            self._span = self._opened.__enter__()
            self.recording = bool(self._span.is_recording())
            if self.recording and self._facts is not None:
                self.tell(self._facts())
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

    def tell(self, facts: Facts) -> None:
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
"""The host's provider, and our tracer of it: making one costs more than a span."""


def span(name: str, facts: Callable[[], Facts] | None = None) -> Span:
    """Returns a span to be entered; it becomes the current one of its thread or task.

    Args:
        name: What is being done; a constant.
        facts: Called where the span is recorded; what it is told at its begin.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return _NO_SPAN
    try:
        tracer = _tracer(trace)
        return _NO_SPAN if tracer is None else _HostsSpan(tracer, name, facts)
    except Exception:  # noqa: BLE001 - recording does not fail because tracing does
        return _NO_SPAN


def _tracer(trace: Any) -> Any:
    global _last_seen  # noqa: PLW0603 - a memo; threads may each make one
    provider = trace.get_tracer_provider()
    known, tracer = _last_seen
    if provider is not known:
        # The proxy stands in where the API was imported and nothing was set up.
        tracer = None if isinstance(provider, trace.ProxyTracerProvider) else provider.get_tracer(_SCOPE)
        _last_seen = (provider, tracer)
    return tracer
