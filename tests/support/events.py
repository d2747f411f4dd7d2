"""Events for tests, and hypothesis strategies for them."""

from typing import Any

from hypothesis import strategies as st

from telemetry import EventContext, EventParameters, MarketingTracking, NewEvent
from telemetry.event import EventBuilder
from telemetry.v1 import telemetrygateway_pb2 as pb

CANARY = "CANARY-4be1"
"""A text for private fields, which must not be in anything that leaves the instance."""


def sensitive_event(feature: str = "search.results", action: str = "submit", **private: Any) -> pb.Event:
    """Return an event with the canary in each sensitive field."""
    return EventBuilder("1.0").build(
        NewEvent.with_run_time_names(
            feature,
            action,
            EventParameters(
                metadata={"n": 1},
                private_metadata=private or {"query": CANARY, "nested": {"deep": [CANARY]}, "count": 5},
            ),
            context=EventContext(
                user_id=7,
                feature_flags={"flag": True},
                marketing_tracking=MarketingTracking(url=CANARY, referrer=CANARY, session_first_url=CANARY),
            ),
        )
    )


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = st.from_regex(r"[a-z][a-zA-Z\-.]{1,20}", fullmatch=True)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | st.booleans()
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
private_metadata = st.dictionaries(st.sampled_from(["query", "language", "x"]) | texts, documents, max_size=4)


@st.composite
def valid_parameters(draw: st.DrawFn) -> EventParameters:
    """Generate valid parameters."""
    return EventParameters(
        version=draw(st.integers(-(2**31), 2**31 - 1)),
        metadata=draw(st.none() | st.dictionaries(texts.filter(bool), numbers, max_size=4)),
        private_metadata=draw(st.none() | private_metadata),
    )
