"""A gateway that only parses and acknowledges events: the receiver of the floor. Prints its address."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry.v1.telemetrygateway_pb2_grpc import (
    TelemeteryGatewayServiceServicer,
    add_TelemeteryGatewayServiceServicer_to_server,
)


class Acknowledging(TelemeteryGatewayServiceServicer):
    async def RecordEvents(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.RecordEventsRequest], context: Any
    ) -> AsyncIterator[pb.RecordEventsResponse]:
        async for request in request_iterator:
            if request.HasField("events"):
                yield pb.RecordEventsResponse(succeeded_events=[event.id for event in request.events.events])


async def serve() -> None:
    server = grpc.aio.server()
    add_TelemeteryGatewayServiceServicer_to_server(Acknowledging(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
