"""`telemetry record`: record one event from the shell."""

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer

from recorder.recorder import Recorder
from telemetry import (
    BillingMetadata,
    EventContext,
    EventParameters,
    InvalidMetadataError,
    InvalidParametersError,
    InvalidPrivateMetadataError,
    InvalidTimestampError,
    NewEvent,
)
from telemetry.parameters import shown_key
from telemetry_cli.options import AsJson, DatabaseUrl
from telemetry_cli.output import out, print_json


def record(
    feature: Annotated[str, typer.Argument(help="The feature of the event, for example search.results.")],
    action: Annotated[str, typer.Argument(help="The action of the event, for example submit.")],
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="KEY=NUMBER", help="A number that may be exported.")
    ] = None,
    private: Annotated[
        list[str] | None,
        typer.Option(
            "--private", "-p", metavar="KEY=TEXT", help="A text that is not exported unless it is allowlisted."
        ),
    ] = None,
    private_json: Annotated[
        str | None, typer.Option(metavar="JSON", help="All private metadata as a JSON object, instead of --private.")
    ] = None,
    billing: Annotated[
        str | None, typer.Option(metavar="PRODUCT:CATEGORY", help="The billing product and category of the event.")
    ] = None,
    version: Annotated[int, typer.Option(help="The version of this event type's parameters.")] = 0,
    user_id: Annotated[int | None, typer.Option(help="The numeric user id on this instance.")] = None,
    anonymous_user_id: Annotated[str | None, typer.Option(help="The id of a user who is not signed in.")] = None,
    timestamp: Annotated[
        str | None, typer.Option(metavar="TIME", help="The time of the event, RFC 3339; default: now.")
    ] = None,
    service_version: Annotated[str, typer.Option(help="The version to record as the version of the server.")] = "cli",
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Record one event, durably, and print its id.

    Example: telemetry record search.results submit -m durationMs=42 -p query=secret
    """
    parameters = EventParameters(
        version=version,
        metadata=dict(_number(pair) for pair in metadata or []),
        private_metadata=_private_metadata(private, private_json),
        billing_metadata=_billing(billing),
    )
    event = NewEvent.with_run_time_names(
        feature,
        action,
        parameters,
        timestamp=_time(timestamp),
        context=EventContext(user_id=user_id, anonymous_user_id=anonymous_user_id),
    )
    recorder = Recorder.from_url(database_url, service_version=service_version)
    try:
        event_id = recorder.batch_record([event])[0]
    finally:
        recorder.close()
    if as_json:
        print_json({"id": event_id})
    else:
        out.print(event_id, highlight=False)


def _number(pair: str) -> tuple[str, float]:
    key, separator, text = pair.partition("=")
    if not separator:
        raise InvalidMetadataError("--metadata", "must be of the form KEY=NUMBER")
    try:
        return key, int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        problem = "must be a number; for text use --private"
    # SECURITY: as in all errors, a key that is not a valid name is not quoted.
    raise InvalidMetadataError("--metadata" if shown_key(key) is None else f"--metadata {key}", problem)


def _private_metadata(pairs: list[str] | None, document: str | None) -> dict[str, Any] | None:
    if document is None:
        if pairs is not None and not all("=" in pair for pair in pairs):
            raise InvalidPrivateMetadataError("--private", "must be of the form KEY=TEXT")
        return None if pairs is None else {key: text for key, _, text in (pair.partition("=") for pair in pairs)}
    if pairs:
        raise InvalidPrivateMetadataError("--private-json", "cannot be combined with --private; pass one of them")
    try:
        value = orjson.loads(document)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        value = None
    if not isinstance(value, dict):
        raise InvalidPrivateMetadataError("--private-json", "must be a JSON object")
    return value


def _billing(text: str | None) -> BillingMetadata | None:
    if text is None:
        return None
    product, separator, category = text.partition(":")
    if not separator:
        raise InvalidParametersError("--billing", "must be of the form PRODUCT:CATEGORY")
    return BillingMetadata(product, category)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        example = datetime(2026, 1, 31, 12, 0, tzinfo=UTC).isoformat()
        raise InvalidTimestampError("--timestamp", f"must be of the form {example}") from None
