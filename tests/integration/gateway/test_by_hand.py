"""The grpcurl commands of the documentation: they use reflection and no `.proto` file."""

import json
import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # type: ignore[import-untyped]
    ProtoReflectionDescriptorDatabase,
)

from support.gateway_server import running_gateway

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "run-a-gateway.md"
SERVICE = "telemetrygateway.v1.TelemeteryGatewayService"


def test_the_documented_stream_is_accepted(tmp_path: Path) -> None:
    (shown,) = re.findall(r"<<'JSON'\n(.*?)\nJSON", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert f"{SERVICE}/RecordEvents" in PAGE.read_text(encoding="utf-8")
    with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName(SERVICE).FindMethodByName("RecordEvents")
        request_class = message_factory.GetMessageClass(method.input_type)
        response_class = message_factory.GetMessageClass(method.output_type)
        requests = [json_format.Parse(line, request_class()) for line in shown.splitlines()]
        call: Any = channel.stream_stream(
            f"/{SERVICE}/RecordEvents",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        answers = [json_format.MessageToDict(answer) for answer in call(iter(requests), timeout=20)]
        (published,) = gateway.published()
    event_id = json.loads(shown.splitlines()[1])["events"]["events"][0]["id"]
    assert answers == [{"succeededEvents": [event_id]}]
    assert published["message"]["event"]["id"] == event_id
    assert published["message"]["metadata"]["requestId"] == "by-hand"


def test_health_of_the_server_and_of_the_service(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName("grpc.health.v1.Health").FindMethodByName("Check")
        request_class = message_factory.GetMessageClass(method.input_type)
        response_class = message_factory.GetMessageClass(method.output_type)
        check: Any = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        for service in ("", SERVICE):
            answer = check(request_class(service=service), timeout=20)
            assert json_format.MessageToDict(answer) == {"status": "SERVING"}
        with pytest.raises(grpc.RpcError) as caught:
            check(request_class(service="other"), timeout=20)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
