"""A killed gateway process: acknowledged events are published once, and the gateway continues after a restart."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from support.gateway_client import Answer, batch, event, metadata, stream
from telemetry.v1 import telemetrygateway_pb2 as pb

PROGRAM = """
import asyncio, sys
from telemetry_gateway import GatewaySettings, serve
asyncio.run(serve(GatewaySettings.load(), on_ready=lambda address: print(address, flush=True)))
"""


@contextmanager
def gateway_process(directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = os.environ | {
        "TELEMETRY_GATEWAY_LISTEN_ADDR": "127.0.0.1:0",
        "TELEMETRY_GATEWAY_SINK_FILE": str(directory / "published.jsonl"),
        "TELEMETRY_GATEWAY_DEDUPLICATION_FILE": str(directory / "deduplication.db"),
        "TELEMETRY_GATEWAY_REJECTS_FILE": str(directory / "rejects.jsonl"),
        "TELEMETRY_GATEWAY_SINK_ROTATE_BYTES": "400000",
    }
    command = [sys.executable, "-c", PROGRAM]
    with (
        (directory / "log").open("ab") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        address = ""
        while address.count(":") != 1 or " " in address:  # log lines are on standard output, too
            address = process.stdout.readline().strip()
            assert process.poll() is None
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        try:
            yield process, address
        finally:
            process.kill()
            process.wait(20)
            reader.join(20)


def _send(address: str, batches: Sequence[Sequence[pb.Event]]) -> Answer:
    with grpc.insecure_channel(address) as channel:
        return stream(channel, [metadata(), *(batch(*events) for events in batches)])


def _published(directory: Path) -> list[str]:
    return [
        json.loads(line)["message"]["event"]["id"]
        for file in sorted(directory.glob("published*.jsonl"))
        for line in file.read_bytes().split(b"\n")[
            :-1
        ]  # a kill can leave an incomplete last line, which was not acknowledged
    ]


@pytest.mark.parametrize("after", [0.02, 0.1, 0.25])
def test_killed_while_streams_are_open(tmp_path: Path, after: float) -> None:
    streams = [[[event() for _ in range(50)] for _ in range(60)] for _ in range(3)]
    answers: list[Answer] = []
    with gateway_process(tmp_path) as (process, address):
        senders = [
            threading.Thread(target=lambda batches=batches: answers.append(_send(address, batches)))
            for batches in streams
        ]
        for sender in senders:
            sender.start()
        deadline = time.monotonic() + 20
        while not (tmp_path / "published.jsonl").stat().st_size and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        for sender in senders:
            sender.join(30)

    acknowledged = [event_id for answer in answers for event_id in answer.succeeded]
    assert acknowledged
    assert any(answer.code is not grpc.StatusCode.OK for answer in answers)
    assert set(acknowledged) <= set(_published(tmp_path))

    with gateway_process(tmp_path) as (process, address):
        for batches in streams:
            answer = _send(address, batches)
            assert answer.succeeded == [one.id for events in batches for one in events]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0

    sent = [one.id for batches in streams for events in batches for one in events]
    assert sorted(_published(tmp_path)) == sorted(sent)  # each once
