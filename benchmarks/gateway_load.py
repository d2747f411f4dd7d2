"""Sends streams of events to a gateway as fast as it acknowledges them, and prints the figures as JSON.

python gateway_load.py ADDRESS STREAMS EVENTS
"""

import json
import sys
import threading
import time
from collections.abc import Iterator

import grpc
from stores import PARAMETERS, usual_context

from telemetry import EventBuilder, NewEvent
from telemetry.v1 import telemetrygateway_pb2 as pb

SERVICE = "/telemetrygateway.v1.TelemeteryGatewayService/RecordEvents"
EVENTS_A_MESSAGE = 500


def requests(name: str, events: int) -> list[bytes]:
    """Return the serialized messages of a stream, so that generating the load is not measured."""
    builder = EventBuilder("1.4.0")
    metadata = pb.RecordEventsRequestMetadata(request_id=name)
    metadata.identifier.unlicensed_instance.instance_id = name
    made = [pb.RecordEventsRequest(metadata=metadata).SerializeToString()]
    with usual_context():
        for first in range(0, events, EVENTS_A_MESSAGE):
            request = pb.RecordEventsRequest()
            for _ in range(min(EVENTS_A_MESSAGE, events - first)):
                event = builder.build(NewEvent("search.results", "submit", PARAMETERS))
                event.parameters.ClearField("private_metadata")
                request.events.events.append(event)
            made.append(request.SerializeToString())
    return made


def main(address: str, streams: int, events: int) -> dict[str, float]:
    prepared = [requests(f"bench-{number}", events // streams) for number in range(streams)]
    acked = [0] * streams
    begin = threading.Barrier(streams + 1)

    def run(number: int) -> None:
        with grpc.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            call = channel.stream_stream(
                SERVICE, request_serializer=bytes, response_deserializer=pb.RecordEventsResponse.FromString
            )
            messages: Iterator[bytes] = iter(prepared[number])
            begin.wait()
            for response in call(messages):
                acked[number] += len(response.succeeded_events)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(streams)]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    size = sum(len(message) for messages in prepared for message in messages)
    return {"acked": sum(acked), "seconds": took, "bytes": size}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
