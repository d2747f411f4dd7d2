from datetime import UTC, datetime

import orjson

from recorder.translation import TRANSLATION_ERROR_KEY, translate
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.event_logs import WRITTEN_COLUMNS


def test_a_value_too_deep_for_json_is_marked() -> None:
    # A recorder rejects such an event; a store that gets one directly still translates the other columns.
    event = pb.Event(feature="ab", action="cd")
    level = event.parameters.private_metadata
    for _ in range(400):
        level = level.fields["a"].struct_value
    level.fields["a"].bool_value = True
    row = dict(
        zip(
            WRITTEN_COLUMNS, translate(event, datetime.now(UTC), exportable=True, private_exportable=False), strict=True
        )
    )
    assert list(orjson.loads(row["argument"])) == [TRANSLATION_ERROR_KEY]
    assert row["name"] == "ab.cd"
