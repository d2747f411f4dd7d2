"""The schema, and what its fields do."""

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
from telemetry_ingest.graphql.event_input import clients_place, new_event
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
    """What is wrong with an event.

    Attributes:
        event: Its position in the batch, from 0 on.
        field: The field at fault, as the client calls it.
        problem: The rule that it breaks.
    """

    event: int
    field: str
    problem: str

    def __str__(self) -> str:
        return f"events[{self.event}].{self.field}: {self.problem}"


class InvalidBatchError(InvalidRequestError):
    """Events break rules; nothing of their batch is stored.

    Attributes:
        faults: The first of them.
    """

    def __init__(self, faults: Sequence[EventFault]) -> None:
        super().__init__("events", "; ".join(map(str, faults)))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphqlContext:
    """What the fields of one request are given.

    Attributes:
        caller: Who calls; None for somebody without credentials.
        base: What is known of the request, for its events.
        recorder: Where events go.
        queue: What has left.
        max_events: The most events of a request.
        recorded: Counts events.
    """

    caller: Caller | None
    base: EventContext
    recorder: AsyncRecorder
    queue: QueueReading
    max_events: int
    recorded: Counter


def load_schema() -> GraphQLSchema:
    """Returns the schema, ready to be executed."""
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
    """Returns the namespace of telemetry."""
    return {}


@telemetry_mutation.field("recordEvents")
async def resolve_record_events(
    _parent: object, info: Any, *, events: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Records a batch, all of it or nothing."""
    context: GraphqlContext = info.context
    if len(events) > context.max_events:
        raise InvalidRequestError("events", f"may be at most {context.max_events} in one request, are {len(events)}")
    built = _build(events, context)
    await context.recorder.store(built)
    context.recorded.inc(len(built))
    return {}


@telemetry_query.field("exportedEvents")
async def resolve_exported_events(_parent: object, info: Any, *, first: int, after: str | None = None) -> Page:
    """Returns a page of what has left."""
    context: GraphqlContext = info.context
    # SECURITY: payloads hold what users did. Who is a site administrator is the hook's word alone.
    if context.caller is None or not context.caller.site_admin:
        raise NotPermittedError("exported events are for site administrators")
    return await asyncio.to_thread(read_page, context.queue, first, after)


@exported_events_connection.field("nodes")
def resolve_nodes(page: Page, _info: object) -> list[Mapping[str, Any]]:
    """Returns the events of a page."""
    return page.nodes()


@exported_events_connection.field("totalCount")
async def resolve_total_count(_page: Page, info: Any) -> int:
    """Returns how many exported events there are; counted only when it is asked for."""
    return await asyncio.to_thread(count, info.context.queue)


@exported_events_connection.field("pageInfo")
def resolve_page_info(page: Page, _info: object) -> Mapping[str, Any]:
    """Returns where a page ends."""
    return page.page_info()


def _build(events: Sequence[Mapping[str, Any]], context: GraphqlContext) -> list[BuiltEvent]:
    built: list[BuiltEvent] = []
    faults: list[EventFault] = []
    for index, given in enumerate(events):
        try:
            built += context.recorder.build([new_event(given, context.base)])
        except InvalidInputError as error:
            faults.append(EventFault(index, clients_place(error.field), error.problem))
            if len(faults) == MAX_FAULTS:
                break
    if faults:
        raise InvalidBatchError(faults)
    return built
