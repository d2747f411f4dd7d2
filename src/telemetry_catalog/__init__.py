"""Checks code against an event catalogue, and generates typed helpers and docs pages from it."""

from telemetry_catalog.calls import CodeReading, RecordingCall, UnreadableCall, read_code
from telemetry_catalog.errors import UnnameableEventError, UnreadableCodeError
from telemetry_catalog.findings import Finding, FindingKind, compare
from telemetry_catalog.helpers import generate_helpers, helper_name
from telemetry_catalog.page import render_catalog

__all__ = [
    "CodeReading",
    "Finding",
    "FindingKind",
    "RecordingCall",
    "UnnameableEventError",
    "UnreadableCall",
    "UnreadableCodeError",
    "compare",
    "generate_helpers",
    "helper_name",
    "read_code",
    "render_catalog",
]
