"""An exporter against a scripted gateway, on both databases."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from export import Exporter, ExporterSettings, ExportMetrics, GatewayClient, PassSettings
from support.recorders import EXPORT_ALL
from telemetry import ExportPolicy, Redactor
from telemetry_store.export_queue import ExportQueue
from telemetry_store.export_runs import ExportRuns
from telemetry_testing import ScriptedGateway, scripted_gateway

QUICK = PassSettings(backoff=(timedelta(milliseconds=1), timedelta(milliseconds=2)))

MakeExporter = Callable[..., Exporter]


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with scripted_gateway() as running:
        yield running


@pytest.fixture
def make_exporter(queue: ExportQueue, gateway: ScriptedGateway) -> Iterator[MakeExporter]:
    clients: list[GatewayClient] = []

    def make(
        *,
        redactor: Redactor | None = None,
        load_redactor: Callable[[], Redactor] | None = None,
        policy: ExportPolicy = EXPORT_ALL,
        load_policy: Callable[[], ExportPolicy] | None = None,
        deadline: str = "10s",
        queue: ExportQueue = queue,
        address: str | None = None,
        runs: ExportRuns | None = None,
        **changes: Any,
    ) -> Exporter:
        settings = ExporterSettings.load(
            export_addr=address or gateway.address, instance_id="instance", rpc_deadline=deadline
        )
        client = GatewayClient.from_settings(settings)
        clients.append(client)
        return Exporter(
            queue,
            client,
            load_redactor=load_redactor or (lambda: redactor or Redactor()),
            load_policy=load_policy or (lambda: policy),
            settings=replace(QUICK, **changes),
            metrics=ExportMetrics(CollectorRegistry()),
            runs=runs,
            random=Random(1),
        )

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def exporter(make_exporter: MakeExporter) -> Exporter:
    return make_exporter()
