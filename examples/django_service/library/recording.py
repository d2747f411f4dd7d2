"""The recorders of this service, and its `identify` function."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from recorder import AsyncRecorder, BestEffortRecorder, Recorder

recorder = Recorder.from_url(service_version="1.4.0")
best_effort = BestEffortRecorder(recorder)
asynchronous = AsyncRecorder(recorder)


def identify(request: HttpRequest) -> Mapping[str, Any]:
    """Return the user's feature flags. The middleware reads the user itself."""
    return {"feature_flags": {"new-ranking": request.user.is_authenticated}}
