"""The telemetry event: names, parameters, context, redaction and export policy. No I/O."""

from telemetry.allowlist import Allowlist, AllowlistEntry, parse_additional_event_types, parse_allowlist
from telemetry.catalog import Catalog, CatalogEntry, MetadataKey, MetadataKind, parse_catalog
from telemetry.context import Client, EventContext, MarketingTracking, current_context, event_context
from telemetry.errors import (
    EventTooLargeError,
    InvalidAllowlistError,
    InvalidCatalogError,
    InvalidContextError,
    InvalidIdError,
    InvalidInputError,
    InvalidMetadataError,
    InvalidNameError,
    InvalidParametersError,
    InvalidPolicyError,
    InvalidPrivateMetadataError,
    InvalidTimestampError,
    RedactionError,
    TelemetryError,
    UnknownEventError,
)
from telemetry.event import EventBuilder, NewEvent
from telemetry.parameters import BillingMetadata, EventParameters, JSONValue
from telemetry.policy import ExportMode, ExportPolicy, TelemetryMode
from telemetry.redaction import Redactor

__all__ = [
    "Allowlist",
    "AllowlistEntry",
    "BillingMetadata",
    "Catalog",
    "CatalogEntry",
    "Client",
    "EventBuilder",
    "EventContext",
    "EventParameters",
    "EventTooLargeError",
    "ExportMode",
    "ExportPolicy",
    "InvalidAllowlistError",
    "InvalidCatalogError",
    "InvalidContextError",
    "InvalidIdError",
    "InvalidInputError",
    "InvalidMetadataError",
    "InvalidNameError",
    "InvalidParametersError",
    "InvalidPolicyError",
    "InvalidPrivateMetadataError",
    "InvalidTimestampError",
    "JSONValue",
    "MarketingTracking",
    "MetadataKey",
    "MetadataKind",
    "NewEvent",
    "RedactionError",
    "Redactor",
    "TelemetryError",
    "TelemetryMode",
    "UnknownEventError",
    "current_context",
    "event_context",
    "parse_additional_event_types",
    "parse_allowlist",
    "parse_catalog",
]
