"""The pinned wire contract: changing a number, name or type here breaks deployed peers."""

import json
import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict

from telemetry.v1 import telemetrygateway_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"

# message -> number -> (name, type). `?` is proto3 optional, `*` repeated, `oneof:` its oneof.
CONTRACT: dict[str, dict[int, tuple[str, str]]] = {
    "Identifier": {
        1: ("licensed_instance", "oneof:identifier Identifier.LicensedInstanceIdentifier"),
        2: ("unlicensed_instance", "oneof:identifier Identifier.UnlicensedInstanceIdentifier"),
        3: ("managed_service", "oneof:identifier Identifier.ManagedServiceIdentifier"),
    },
    "Identifier.LicensedInstanceIdentifier": {
        1: ("license_key", "string"),
        2: ("instance_id", "string"),
        3: ("external_url", "string"),
    },
    "Identifier.UnlicensedInstanceIdentifier": {1: ("instance_id", "string"), 2: ("external_url", "string")},
    "Identifier.ManagedServiceIdentifier": {1: ("service_id", "string"), 2: ("service_environment", "? string")},
    "RecordEventsRequestMetadata": {1: ("request_id", "string"), 2: ("identifier", "Identifier")},
    "RecordEventsRequest": {
        1: ("metadata", "oneof:payload RecordEventsRequestMetadata"),
        2: ("events", "oneof:payload RecordEventsRequest.EventsPayload"),
    },
    "RecordEventsRequest.EventsPayload": {1: ("events", "* Event")},
    "RecordEventsResponse": {1: ("succeeded_events", "* string"), 1001: ("rejected_events", "* RejectedEvent")},
    "RejectedEvent": {1: ("event_id", "string"), 2: ("reason", "string")},
    "RecordEventRequest": {1: ("metadata", "RecordEventsRequestMetadata"), 2: ("event", "Event")},
    "RecordEventResponse": {},
    "Event": {
        1: ("id", "string"),
        2: ("timestamp", "google.protobuf.Timestamp"),
        3: ("feature", "string"),
        4: ("action", "string"),
        5: ("source", "EventSource"),
        6: ("parameters", "EventParameters"),
        7: ("user", "? EventUser"),
        8: ("feature_flags", "? EventFeatureFlags"),
        9: ("marketing_tracking", "? EventMarketingTracking"),
        10: ("interaction", "? EventInteraction"),
    },
    "EventSource": {1: ("server", "EventSource.Server"), 2: ("client", "? EventSource.Client")},
    "EventSource.Server": {1: ("version", "string")},
    "EventSource.Client": {1: ("name", "string"), 2: ("version", "? string")},
    "EventParameters": {
        1: ("version", "int32"),
        2: ("legacy_metadata", "map<string, int64>"),
        3: ("private_metadata", "? google.protobuf.Struct"),
        4: ("billing_metadata", "? EventBillingMetadata"),
        5: ("metadata", "map<string, double>"),
    },
    "EventBillingMetadata": {1: ("product", "string"), 2: ("category", "string")},
    "EventUser": {1: ("user_id", "? int64"), 2: ("anonymous_user_id", "? string"), 3: ("sams_external_id", "? string")},
    "EventFeatureFlags": {1: ("flags", "map<string, string>")},
    "EventMarketingTracking": {
        1: ("url", "? string"),
        2: ("first_source_url", "? string"),
        3: ("cohort_id", "? string"),
        4: ("referrer", "? string"),
        5: ("last_source_url", "? string"),
        6: ("device_session_id", "? string"),
        7: ("session_referrer", "? string"),
        8: ("session_first_url", "? string"),
    },
    "EventInteraction": {
        1: ("trace_id", "? string"),
        2: ("interaction_id", "? string"),
        3: ("geolocation", "? EventInteraction.Geolocation"),
    },
    "EventInteraction.Geolocation": {1: ("country_code", "string")},
}

SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_DOUBLE: "double",
}


def describe(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is None:
        kind = SCALARS[field.type]
    elif message.GetOptions().map_entry:
        return f"map<{describe(message.fields_by_name['key'])}, {describe(message.fields_by_name['value'])}>"
    else:
        kind = message.full_name.removeprefix("telemetrygateway.v1.")
    if field.is_repeated:
        return f"* {kind}"
    oneof = field.containing_oneof
    if oneof is None:
        return kind
    # proto3 `optional` is a oneof of one field, named after it.
    return f"? {kind}" if oneof.name == f"_{field.name}" else f"oneof:{oneof.name} {kind}"


def contract_of(message: Descriptor, prefix: str = "") -> dict[str, dict[int, tuple[str, str]]]:
    name = f"{prefix}{message.name}"
    found = {name: {field.number: (field.name, describe(field)) for field in message.fields}}
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            found |= contract_of(nested, f"{name}.")
    return found


def test_every_field_has_the_number_name_and_type_of_the_contract() -> None:
    found: dict[str, dict[int, tuple[str, str]]] = {}
    for message in pb.DESCRIPTOR.message_types_by_name.values():
        found |= contract_of(message)
    assert found == CONTRACT


def test_names_in_json_are_those_that_protobuf_derives() -> None:
    # Consumers of the sink read them. A `json_name` in the schema would change them without changing the wire format.
    for message in (message for top in pb.DESCRIPTOR.message_types_by_name.values() for message in whole_tree(top)):
        for field in message.fields:
            first, *rest = field.name.split("_")
            assert field.json_name == first + "".join(word.capitalize() for word in rest)


def whole_tree(message: Descriptor) -> list[Descriptor]:
    return [message, *(below for nested in message.nested_types for below in whole_tree(nested))]


def test_the_service_keeps_its_misspelled_name_and_its_streams() -> None:
    assert pb.DESCRIPTOR.package == "telemetrygateway.v1"
    assert pb.DESCRIPTOR.name == "telemetrygateway/v1/telemetrygateway.proto"
    (service,) = pb.DESCRIPTOR.services_by_name.values()
    assert service.full_name == "telemetrygateway.v1.TelemeteryGatewayService"
    methods = {
        method.name: (method.client_streaming, method.input_type.name, method.server_streaming, method.output_type.name)
        for method in service.methods
    }
    assert methods == {
        "RecordEvents": (True, "RecordEventsRequest", True, "RecordEventsResponse"),
        "RecordEvent": (False, "RecordEventRequest", False, "RecordEventResponse"),
    }


def golden(name: str) -> pb.Event:
    return pb.Event.FromString(bytes.fromhex((GOLDEN / f"{name}.hex").read_text()))


def expected(name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((GOLDEN / f"{name}.json").read_text())
    return document


def test_an_event_with_every_field_set_is_still_read_and_written_the_same() -> None:
    event = golden("full")
    assert MessageToDict(event) == expected("full")
    assert event.SerializeToString(deterministic=True).hex() == (GOLDEN / "full.hex").read_text().strip()


def test_a_minimal_event_is_still_read_and_has_nothing_else_set() -> None:
    event = golden("minimal")
    assert MessageToDict(event) == expected("minimal")
    assert [field.name for field, _ in event.ListFields()] == ["id", "timestamp", "feature", "action"]


def test_metadata_of_a_first_release_exporter_is_read_as_legacy_metadata() -> None:
    event = golden("first_release")
    assert dict(event.parameters.legacy_metadata) == {"count": 3, "big": 9007199254740993}
    assert not event.parameters.metadata


def test_unknown_fields_of_a_newer_peers_event_can_be_discarded() -> None:
    event = golden("newer")
    assert event.feature == "search.results"
    assert b"from-the-future" in event.SerializeToString()
    event.DiscardUnknownFields()
    assert b"from-the-future" not in event.SerializeToString()


def test_the_committed_wire_types_match_the_contract() -> None:
    check = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "generate_proto.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stderr) == (0, "")
