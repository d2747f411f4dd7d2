"""The GraphQL schema and its resolvers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ariadne import MutationType, ObjectType, QueryType, load_schema_from_path, make_executable_schema
from graphql import GraphQLSchema
from prometheus_client import Counter

from recorder import AsyncRecorder, BuiltEvent
from telemetry import EventContext, InvalidInputError
from telemetry_ingest.auth import Caller
from telemetry_ingest.errors import InvalidRequestError, NotPermittedError
from telemetry_ingest.graphql.event_input import client_field, new_event
from telemetry_ingest.graphql.exported_events import Page, count, read_page
from telemetry_ingest.graphql.scalars import date_time, json_value
from telemetry_ingest.graphql.variables import MAX_FAULTS
from telemetry_store.queue_reading import QueueReading

SCHEMA_FILE: Final = Path(__file__).with_name("schema.graphql")

query = QueryType()
mutation = MutationType()
telemetry_query = ObjectType("TelemetryQuery")
telemetry_mutation = ObjectType("TelemetryMutation")
exported_events_connection = ObjectType("ExportedEventsConnection")


@dataclass(frozen=True, slots=True)
class EventFault:
    """An invalid field of an event.

    Attributes:
        event: Index of the event in the batch, from 0.
        field: The invalid field, by the client's name.
        problem: The rule that is broken.
    """

    event: int
    field: str
    problem: str

    def __str__(self) -> str:
        return f"events[{self.event}].{self.field}: {self.problem}"


class InvalidBatchError(InvalidRequestError):
    """Some events are invalid; nothing of their batch is stored.

    Attributes:
        faults: The first faults.
    """

    def __init__(self, faults: Sequence[EventFault]) -> None:
        super().__init__("events", "; ".join(map(str, faults)))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphqlContext:
    """The context of a request, for the resolvers.

    Attributes:
        caller: The caller; None without credentials.
        base: The context for the request's events.
        recorder: Records the events.
        queue: Reads exported events.
        max_events: Maximum number of events per request.
        recorded: Counts recorded events.
    """

    caller: Caller | None
    base: EventContext
    recorder: AsyncRecorder
    queue: QueueReading
    max_events: int
    recorded: Counter


def load_schema() -> GraphQLSchema:
    """Load the executable schema."""
    return make_executable_schema(
        load_schema_from_path(SCHEMA_FILE),
        query,
        mutation,
        telemetry_query,
        telemetry_mutation,
        exported_events_connection,
        date_time,
        json_value,
    )


@query.field("telemetry")
@mutation.field("telemetry")
def resolve_telemetry(_parent: object, _info: object) -> Mapping[str, Any]:
    """Return the namespace object of telemetry."""
    return {}


@telemetry_mutation.field("recordEvents")
async def resolve_record_events(
    _parent: object, info: Any, *, events: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Record a batch, all events or none."""
    context: GraphqlContext = info.context
    if len(events) > context.max_events:
        raise InvalidRequestError("events", f"must be at most {context.max_events} per request, got {len(events)}")
    built = _build(events, context)
    await context.recorder.store(built)
    context.recorded.inc(len(built))
    return {}


@telemetry_query.field("exportedEvents")
async def resolve_exported_events(_parent: object, info: Any, *, first: int, after: str | None = None) -> Page:
    """Return a page of exported events."""
    context: GraphqlContext = info.context
    # SECURITY: payloads show what users did. The hook alone decides who is a site administrator.
    if context.caller is None or not context.caller.site_admin:
        raise NotPermittedError("exported events are for site administrators")
    return await asyncio.to_thread(read_page, context.queue, first, after)


@exported_events_connection.field("nodes")
def resolve_nodes(page: Page, _info: object) -> list[Mapping[str, Any]]:
    """Return the events of a page."""
    return page.nodes()


@exported_events_connection.field("totalCount")
async def resolve_total_count(_page: Page, info: Any) -> int:
    """Count the exported events, only if the query selects the field."""
    return await asyncio.to_thread(count, info.context.queue)


@exported_events_connection.field("pageInfo")
def resolve_page_info(page: Page, _info: object) -> Mapping[str, Any]:
    """Return the pagination information of a page."""
    return page.page_info()


def _build(events: Sequence[Mapping[str, Any]], context: GraphqlContext) -> list[BuiltEvent]:
    built: list[BuiltEvent] = []
    faults: list[EventFault] = []
    for index, given in enumerate(events):
        try:
            built += context.recorder.build([new_event(given, context.base)])
        except InvalidInputError as error:
            faults.append(EventFault(index, client_field(error.field), error.problem))
            if len(faults) == MAX_FAULTS:
                break
    if faults:
        raise InvalidBatchError(faults)
    return built
