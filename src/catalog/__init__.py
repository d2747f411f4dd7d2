"""Holds code against an event catalogue, and writes typed helpers and pages from it."""

from catalog.calls import CodeReading, RecordingCall, UnreadableCall, read_code
from catalog.errors import UnnameableEventError, UnreadableCodeError
from catalog.findings import Finding, FindingKind, compare
from catalog.helpers import generate_helpers, helper_name
from catalog.page import render_catalog

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
