"""A small shop with a search and an assistant: how a backend service records its telemetry.

    telemetry db upgrade --database-url sqlite:///shop.db
    TELEMETRY_EXPORT_MODE=all python examples/service.py --database-url sqlite:///shop.db

The same with PostgreSQL: --database-url postgresql://postgres@127.0.0.1/shop
"""

import argparse
import asyncio
from typing import Any

from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, insert

from recorder import AsyncRecorder, BestEffortRecorder, Recorder
from telemetry import BillingMetadata, Client, EventParameters, MarketingTracking, NewEvent, event_context
from telemetry_store import create_database_engine

SERVICE_VERSION = "1.4.0"
PAGE_VIEWS = 5_000

tables = MetaData()
orders = Table("orders", tables, Column("id", Integer, primary_key=True), Column("item", Text, nullable=False))


class PaymentError(Exception):
    """The payment was refused."""


def search(recorder: Recorder, query: str) -> str:
    """Record a search: the query is private, the duration is not."""
    return recorder.record(
        "search.results",
        "submit",
        EventParameters(metadata={"durationMs": 41.5, "results": 12}, private_metadata={"query": query}),
    )


def order(engine: Engine, recorder: Recorder, item: str, *, paid: bool) -> str:
    """Record an order and its event: both are stored, or neither."""
    with engine.begin() as connection:
        connection.execute(insert(orders).values(item=item))
        event_id = recorder.record(
            "shop.order",
            "submit",
            EventParameters(metadata={"items": 1}, billing_metadata=BillingMetadata("shop", "order")),
            connection=connection,
        )
        if not paid:
            raise PaymentError
    return event_id


def suggest(recorder: BestEffortRecorder, **metadata: Any) -> str | None:
    """Record a suggestion in an editor, which must work even if telemetry fails."""
    return recorder.record("editor.suggestion", "accepted", EventParameters(metadata=metadata))


async def chat(recorder: AsyncRecorder, prompt: str) -> str:
    """Record a question to the assistant, in a coroutine. The allowlist allows `language`, not `prompt`."""
    return await recorder.record(
        "assistant.chat",
        "submit",
        EventParameters(metadata={"tokens": 380}, private_metadata={"prompt": prompt, "language": "python"}),
    )


def view_pages(recorder: Recorder, count: int) -> list[str]:
    """Record many events at once, in one transaction."""
    return recorder.batch_record(
        NewEvent("shop.page", "view", EventParameters(metadata={"position": number})) for number in range(count)
    )


async def serve_assistant(recorder: Recorder) -> str:
    """Run the asyncio part of the service."""
    asynchronous = AsyncRecorder(recorder)
    event_id = await chat(asynchronous, "why does SECRET-PROMPT not compile?")
    await asynchronous.close()
    return event_id


def main() -> None:
    """Run every part of the service once."""
    parser = argparse.ArgumentParser(description="Record what a small shop would record.")
    parser.add_argument("--database-url", default="sqlite:///telemetry.db")
    arguments = parser.parse_args()

    engine = create_database_engine(arguments.database_url)
    tables.create_all(engine)
    recorder = Recorder.from_engine(engine, service_version=SERVICE_VERSION)
    best_effort = BestEffortRecorder(recorder)

    with event_context(
        user_id=7,
        client=Client("shop-web", "3.2"),
        feature_flags={"new-ranking": True},
        interaction_id="example-1",
        marketing_tracking=MarketingTracking(url="https://shop.example/?campaign=SECRET-CAMPAIGN"),
    ):
        print("recorded a search:            ", search(recorder, "SECRET-QUERY"))
        print("recorded with its order:      ", order(engine, recorder, "book", paid=True))
        try:
            order(engine, recorder, "bicycle", paid=False)
        except PaymentError:
            print("rolled back with its order:    (no event, no order)")
    print("recorded, best effort:        ", suggest(best_effort, characters=18))
    print("not recorded, the log says why:", suggest(best_effort, characters="eighteen"))
    print("recorded from asyncio:        ", asyncio.run(serve_assistant(recorder)))
    print("recorded in one transaction:  ", len(view_pages(recorder, PAGE_VIEWS)), "page views")
    recorder.close()


if __name__ == "__main__":
    main()
