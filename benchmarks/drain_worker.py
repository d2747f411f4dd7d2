"""Drains a queue once, with our exporter or the floor, and prints the figures as JSON.

python drain_worker.py ours|floor DATABASE_URL GATEWAY_ADDRESS
"""

import json
import queue
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry
from sqlalchemy import make_url
from stores import postgres_connection, sqlite_connection

from export import ExporterSettings, ExportJobs, ExportMetrics
from telemetry.v1 import telemetrygateway_pb2 as pb

CHUNK_BYTES = 1024 * 1024
PAGE = 10_000
SERVICE = "/telemetrygateway.v1.TelemeteryGatewayService/RecordEvents"


def ours(url: str, address: str) -> tuple[Callable[[], int], Callable[[], None]]:
    settings = ExporterSettings.load(
        database_url=url, export_addr=address, instance_id="bench", export_mode="all", rpc_deadline="4m"
    )
    jobs = ExportJobs(settings, metrics=ExportMetrics(CollectorRegistry()))
    jobs.queue.counts()  # connected
    return lambda: jobs.exporter.run_pass().acked, jobs.close


def floor(url: str, address: str) -> tuple[Callable[[], int], Callable[[], None]]:
    """Drain with the raw driver and unchanged bytes in one stream; mark events as acknowledgements arrive."""
    sqlite = make_url(url).get_backend_name() == "sqlite"
    connection: Any = sqlite_connection(url) if sqlite else postgres_connection(url)
    channel = grpc.insecure_channel(address.removeprefix("http://"))
    call = channel.stream_stream(
        SERVICE, request_serializer=lambda request: request, response_deserializer=pb.RecordEventsResponse.FromString
    )
    select = (
        "SELECT id, payload_pb FROM telemetry_events_export_queue WHERE exported_at IS NULL AND dead_at IS NULL"
        " ORDER BY timestamp, id LIMIT {}"
    )
    mark = "UPDATE telemetry_events_export_queue SET exported_at = '2026-01-01' WHERE id {}"
    mark = mark.format("IN (SELECT value FROM json_each(?))" if sqlite else "= ANY(%s)")

    def drain() -> int:
        acked = 0
        while rows := connection.execute(select.format(PAGE)).fetchall():
            todo: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
            todo.put(_field(1, pb.RecordEventsRequestMetadata(request_id="floor").SerializeToString()))
            for chunk in _chunks([bytes(payload) for _, payload in rows]):
                todo.put(chunk)
            todo.put(None)
            for response in call(iter(todo.get, None)):
                ids = list(response.succeeded_events)
                connection.execute(mark, (json.dumps(ids) if sqlite else ids,))
                acked += len(ids)
        return acked

    return drain, channel.close


def _chunks(payloads: list[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for payload in payloads:
        part = _field(1, payload)
        if parts and size + len(part) > CHUNK_BYTES:
            yield _field(2, b"".join(parts))
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    yield _field(2, b"".join(parts))


def _field(number: int, body: bytes) -> bytes:
    length = len(body)
    varint = bytearray()
    while length > 127:
        varint.append(length & 127 | 128)
        length >>= 7
    varint.append(length)
    return bytes((number << 3 | 2,)) + bytes(varint) + body


def megabytes(name: str) -> float:
    """Return `VmRSS` (current) or `VmHWM` (peak); `getrusage` would include the parent's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(found.split()[1]) / 1024


if __name__ == "__main__":
    how, url, address = sys.argv[1:]
    drain, close = {"ours": ours, "floor": floor}[how](url, address)
    idle = megabytes("VmRSS")
    started = time.perf_counter()
    acked = drain()
    took = time.perf_counter() - started
    print(json.dumps({"acked": acked, "seconds": took, "idle_mb": idle, "peak_mb": megabytes("VmHWM")}))
    close()
