"""Network faults (cuts, resets, lost data, delays, half-closes): no event is lost, no call exceeds its deadline."""

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import make_url

from export import Exporter, ExporterSettings, ExportMetrics, GatewayClient, PassSettings
from recorder import RecorderError
from support.databases import postgresql_target
from support.recorders import EXPORT_ALL, logged, make_recorder, queued
from telemetry import NewEvent, Redactor
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_testing import FaultProxy, scripted_gateway

FAULTS = int(os.environ.get("TELEMETRY_TEST_FAULTS", "8"))
"""The number of faults for each database; `make faults` raises it."""
DEADLINE = 0.5
ANSWER = 0.3
CONNECT = 2


@pytest.fixture
def proxies() -> Iterator[list[FaultProxy]]:
    made: list[FaultProxy] = []
    yield made
    for each in made:
        each.close()


@pytest.mark.timeout(120 + 3 * FAULTS)
def test_faults_between_exporter_and_gateway(database: Database, proxies: list[FaultProxy]) -> None:
    queue = ExportQueue(database)
    recorder = make_recorder(database)
    with scripted_gateway() as gateway:
        proxy = FaultProxy(("127.0.0.1", int(gateway.address.rpartition(":")[2])), seed=FAULTS)
        proxies.append(proxy)
        recorded: list[str] = []
        longest = 0.0
        while sum(proxy.faults.values()) < FAULTS:
            recorded += recorder.batch_record([NewEvent("search", "submit")] * 200)
            started = time.monotonic()
            run_pass(queue, proxy.address)
            longest = max(longest, time.monotonic() - started)
        proxy.healthy.set()
        until_drained(queue, proxy.address)
        print(dict(proxy.faults), f"{len(recorded)} events, the longest pass {longest:.2f} s")
    assert set(recorded) == set(gateway.received)
    counts = queue.counts()
    assert (counts.exported, counts.dead, counts.pending) == (len(recorded), 0, 0)
    # At most two streams, each within its deadline, plus time for the database.
    assert longest < 2 * DEADLINE + 3


def run_pass(queue: ExportQueue, address: str) -> Any:
    settings = ExporterSettings.load(
        export_addr=f"http://{address}", instance_id="i", rpc_deadline=timedelta(seconds=DEADLINE)
    )
    client = GatewayClient.from_settings(settings)
    exporter = Exporter(
        queue, client, load_redactor=Redactor, load_policy=lambda: EXPORT_ALL,
        metrics=ExportMetrics(CollectorRegistry()),
        settings=PassSettings(
            batch_size=10_000, chunk_bytes=2_000, outages_per_pass=2,
            backoff=(timedelta(milliseconds=1), timedelta(milliseconds=2)),
        ),
    )  # fmt: skip
    try:
        return exporter.run_pass()
    finally:
        client.close()


def until_drained(queue: ExportQueue, address: str) -> None:
    end = time.monotonic() + 60
    while queue.counts().pending:
        assert time.monotonic() < end
        run_pass(queue, address)
        time.sleep(0.05)


@pytest.mark.timeout(120 + 3 * FAULTS)
@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_faults_between_recorder_and_postgresql(
    migrated_url: str, database: Database, proxies: list[FaultProxy]
) -> None:
    real = make_url(migrated_url)
    proxy = FaultProxy(postgresql_target(real), FAULTS)
    proxies.append(proxy)
    url = real.difference_update_query(["host"]).set(host="127.0.0.1", port=proxy.port)
    url = url.update_query_dict({"connect_timeout": str(CONNECT)})
    recorder = make_recorder(Database(create_database_engine(url, timeout=timedelta(seconds=ANSWER))))
    promised: list[str] = []
    refused = 0
    longest = 0.0
    while sum(proxy.faults.values()) < FAULTS:
        started = time.monotonic()
        try:
            promised.append(recorder.record("search", "submit"))
        except RecorderError:
            refused += 1
        longest = max(longest, time.monotonic() - started)
    proxy.healthy.set()
    promised.append(recorder.record("search", "submit"))
    recorder.close()
    print(dict(proxy.faults), f"{len(promised)} promised, {refused} refused, the longest call {longest:.2f} s")
    assert set(promised) <= set(queued(database))
    assert len(logged(database)) == len(queued(database)) <= len(promised) + refused
    # Connecting, then statements: each is answered in time, or cancelled within 2 s, or disconnected 2 s later.
    assert longest < CONNECT + 3 * (ANSWER + 4) + 3
