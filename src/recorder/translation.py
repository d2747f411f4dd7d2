"""Translates an event into a row of the legacy table `event_logs`."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from telemetry.struct_json import number_to_json, struct_to_json
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.event_logs import UNKNOWN
from telemetry_store.statements import EXPORTABLE_MARK

DEFAULT_SOURCE: Final = "BACKEND"
PRIVATE_METADATA_EXPORTABLE_KEY: Final = "telemetry.privateMetadata.exportable"
TRANSLATION_ERROR_KEY: Final = "translation.error"

# PostgreSQL's jsonb cannot hold NUL. `u0000` after an odd number of backslashes is the escape sequence for it,
# after an even number it is plain text.
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_MAX_USER_ID = 2**31 - 1
_TRUE_FLAGS = frozenset({"true", "t", "1"})


def translate(event: pb.Event, timestamp: Any, *, exportable: bool, private_exportable: bool) -> tuple[Any, ...]:
    """Return an event as a row of `event_logs`, in the order of `WRITTEN_COLUMNS`.

    Args:
        event: The whole event, private metadata included.
        timestamp: The event's time in the form that the driver expects.
        exportable: Whether the event was queued for export.
        private_exportable: Whether private metadata of this event's type may be exported.
    """
    user = event.user
    # The column has 32 bits, the wire format 64. An id that does not fit is kept only in the queue.
    user_id = user.user_id if -_MAX_USER_ID <= user.user_id <= _MAX_USER_ID else 0
    marketing = event.marketing_tracking
    client = event.source.client
    return (
        f"{event.feature}.{event.action}",
        marketing.url,
        user_id,
        user.anonymous_user_id or ("" if user_id else UNKNOWN),
        client.name or DEFAULT_SOURCE,
        _json_text(lambda: _argument(event, private_exportable=private_exportable)),
        _json_text(lambda: _public_argument(event, exportable=exportable)),
        event.source.server.version or UNKNOWN,
        timestamp,
        _json_text(lambda: _flags(event)) if event.HasField("feature_flags") else None,
        _given(marketing, "cohort_id"),
        _given(marketing, "first_source_url"),
        _given(marketing, "last_source_url"),
        _given(marketing, "referrer"),
        _given(marketing, "device_session_id"),
        event.parameters.billing_metadata.category if event.parameters.HasField("billing_metadata") else None,
        f"{client.name}:{client.version}" if event.source.HasField("client") else None,
    )


def _given(marketing: pb.EventMarketingTracking, name: str) -> str | None:
    value: str = getattr(marketing, name)
    return value or None


def _json_text(make: Callable[[], Mapping[str, Any]]) -> str:
    """Return JSON for a column; a value that cannot be translated becomes a marker.

    An error in one column must not keep the event out of the queue.
    """
    try:
        encoded = orjson.dumps(make())
        if b"\\u0000" not in encoded or _NUL_ESCAPE.search(encoded) is None:
            return encoded.decode()
        problem = "holds NUL"
    except Exception as error:  # noqa: BLE001 - see above
        problem = type(error).__name__
    return orjson.dumps({TRANSLATION_ERROR_KEY: problem}).decode()


def _argument(event: pb.Event, *, private_exportable: bool) -> Mapping[str, Any]:
    if not event.parameters.HasField("private_metadata"):
        return {}
    return {
        **struct_to_json(event.parameters.private_metadata),
        PRIVATE_METADATA_EXPORTABLE_KEY: private_exportable,
    }


def _public_argument(event: pb.Event, *, exportable: bool) -> Mapping[str, Any]:
    numbers: dict[str, Any] = {key: number_to_json(value) for key, value in event.parameters.metadata.items()}
    numbers[EXPORTABLE_MARK] = exportable
    return numbers


def _flags(event: pb.Event) -> Mapping[str, Any]:
    return {name: value.lower() in _TRUE_FLAGS for name, value in event.feature_flags.flags.items()}
