"""The host in docs/how-to/take-events-over-http.md works as documented."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.graphql_client import PATH, RECORD, RECORDED, client_event
from support.recorders import queued
from telemetry_ingest import IngestSettings
from telemetry_store.database import Database

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"])

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "take-events-over-http.md"


@pytest.fixture
def app(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TELEMETRY_DATABASE_URL", migrated_url)
    monkeypatch.setenv("TELEMETRY_EXPORT_MODE", "all")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "documented"}
    exec(code, names)
    return names["app"]


def test_it_serves_its_own_pages_and_records_events(app: Any, database: Database) -> None:
    body = {"query": RECORD, "variables": {"events": [client_event()]}}

    async def use() -> None:
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://host.test") as http,
        ):
            assert (await http.get("/")).json() == "your own service"
            assert (await http.get("/readyz")).json() == {"ready": True}
            for headers in ({}, {"authorization": "token a-token-of-yours"}):
                assert (await http.post(PATH, json=body, headers=headers)).json() == RECORDED
            refused = await http.post(PATH, json=body, headers={"authorization": "token x"})
            assert refused.status_code == 401

    asyncio.run(use())
    users = [event.user.user_id for event in queued(database).values() if event.HasField("user")]
    assert (users, len(queued(database))) == ([42], 2)


def test_the_documented_exporter_is_the_example(database_kind: str) -> None:
    (shown,) = re.findall(r"```js\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown in (PAGE.parents[2] / "examples" / "web_exporter.js").read_text(encoding="utf-8")


def test_every_variable_on_the_page_exists(database_kind: str) -> None:
    named = set(re.findall(r"TELEMETRY_[A-Z_]+", PAGE.read_text(encoding="utf-8")))
    assert named
    assert named <= {IngestSettings.variable_of(field) for field in IngestSettings.model_fields}
