"""Converts a client's event into an event for the recorder."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from telemetry import (
    BillingMetadata,
    Client,
    EventContext,
    EventParameters,
    InvalidMetadataError,
    MarketingTracking,
    NewEvent,
)
from telemetry.parameters import metadata_field, number_problem

_MARKETING: Final = {
    "url": "url",
    "first_source_url": "firstSourceURL",
    "cohort_id": "cohortID",
    "referrer": "referrer",
    "last_source_url": "lastSourceURL",
    "device_session_id": "deviceSessionID",
    "session_referrer": "sessionReferrer",
    "session_first_url": "sessionFirstURL",
}
_PLACES: Final = {
    "client.name": "source.client",
    "client.version": "source.clientVersion",
    "interaction_id": "parameters.interactionID",
    "version": "parameters.version",
    "metadata": "parameters.metadata",
    "private_metadata": "parameters.privateMetadata",
    "billing_metadata": "parameters.billingMetadata",
    **{f"marketing_tracking.{ours}": f"marketingTracking.{theirs}" for ours, theirs in _MARKETING.items()},
}
_NOT_A_NUMBER: Final = {
    kind: f"must be a number, not {name}"
    for kind, name in (
        (str, "text; text belongs into privateMetadata"),
        (bool, "true or false"),
        (list, "a list"),
        (dict, "an object"),
    )
}
_PLACE: Final = re.compile(rf"(?:{'|'.join(re.escape(ours) for ours in sorted(_PLACES, key=len, reverse=True))})\b")


def new_event(given: Mapping[str, Any], base: EventContext) -> NewEvent:
    """Convert a client's event.

    Args:
        given: A coerced `TelemetryEventInput`.
        base: The context of the request, including the caller.

    Raises:
        InvalidInputError: The event is invalid; `field` is the recorder's name of the field.
    """
    source, parameters = given["source"], given["parameters"]
    return NewEvent.with_run_time_names(
        given["feature"],
        given["action"],
        EventParameters(
            version=parameters["version"],
            metadata=_metadata(parameters.get("metadata")),
            private_metadata=_private_metadata(parameters.get("privateMetadata")),
            billing_metadata=_billing(parameters.get("billingMetadata")),
        ),
        timestamp=given.get("timestamp"),
        context=replace(
            base,
            client=Client(source["client"], source.get("clientVersion")),
            interaction_id=parameters.get("interactionID") or base.interaction_id,
            marketing_tracking=_marketing(given.get("marketingTracking")),
        ),
    )


def client_field(field: str) -> str:
    """Return the client's name of a field, given the recorder's name."""
    found = _PLACE.match(field)
    return field if found is None else _PLACES[found.group()] + field[found.end() :]


def _metadata(given: Sequence[Mapping[str, Any]] | None) -> dict[str, float] | None:
    if given is None:
        return None
    found: dict[str, float] = {}
    for position, entry in enumerate(given):
        key, value = entry["key"], entry["value"]
        # Checked here, because the recorder gets only the last of equal keys, and accepts true and false as 1 and 0.
        if problem := _NOT_A_NUMBER.get(type(value)) or number_problem(value):
            # A client knows the field by its GraphQL name.
            raise InvalidMetadataError(
                metadata_field(position, key), problem.replace("private_metadata", "privateMetadata")
            )
        found[key] = value
    return found


def _private_metadata(given: Any) -> dict[str, Any] | None:
    return given if given is None or isinstance(given, dict) else {"value": given}


def _billing(given: Mapping[str, Any] | None) -> BillingMetadata | None:
    return None if given is None else BillingMetadata(given["product"], given["category"])


def _marketing(given: Mapping[str, Any] | None) -> MarketingTracking | None:
    if given is None:
        return None
    return MarketingTracking(**{ours: given.get(theirs) for ours, theirs in _MARKETING.items()})
