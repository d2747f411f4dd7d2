"""The recorders of this service, and what it knows of a request."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from recorder import AsyncRecorder, BestEffortRecorder, Recorder

recorder = Recorder.from_url(service_version="1.4.0")
best_effort = BestEffortRecorder(recorder)
asynchronous = AsyncRecorder(recorder)


def identify(request: HttpRequest) -> Mapping[str, Any]:
    """Says what Django's user does not: which flags this person has."""
    return {"feature_flags": {"new-ranking": request.user.is_authenticated}}
