"""Protobuf messages that no library generates: truncated, or with unknown fields, repeated keys, invalid UTF-8."""

from random import Random

from google.protobuf.struct_pb2 import Struct

from support.gateway_client import event
from telemetry.event import new_event_id
from telemetry.v1 import telemetrygateway_pb2 as pb


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def field(number: int, value: bytes) -> bytes:
    """Return a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(value)) + value


class RawMessages:
    """Generates random messages, which are the same for the same seed, except for ids.

    Args:
        seed: The seed of the random generator.
    """

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)

    def message(self) -> bytes:
        """Return a message of a stream, made from one to three events."""
        chance = self._chance
        body = b"".join(field(1, self.event(new_event_id())) for _ in range(chance.choice((0, 1, 1, 1, 2, 3))))
        made = field(2, body)
        kind = chance.random()
        if kind < 0.03:
            return self._mutated(made)
        if kind < 0.04:
            return chance.randbytes(chance.randrange(200))
        if kind < 0.06:
            return made + self._unknown()
        if kind < 0.07:
            return made + field(1, b"")  # metadata a second time
        if kind < 0.09:
            return made + made  # merged, so it has all events twice
        return made

    def event(self, event_id: str) -> bytes:
        """Return the bytes of an event, which may be malformed."""
        made = self._good(event_id).SerializeToString()
        chance = self._chance
        kind = chance.random()
        if kind < 0.35:
            return made
        if kind < 0.45:
            return self._mutated(made)
        if kind < 0.5:
            return made[: chance.randrange(len(made))]
        if kind < 0.6:
            return made + self._unknown()
        return made + self._strange_field()

    def _good(self, event_id: str) -> pb.Event:
        chance = self._chance
        made = event(event_id, feature=chance.choice(("search", "search.results", "aB")))
        made.timestamp.nanos = chance.randrange(10**9)
        if chance.random() < 0.5:
            made.parameters.private_metadata.CopyFrom(self._struct(chance.randrange(4)))
            made.marketing_tracking.url = "https://x.test/?q=\u00e9"
            made.user.user_id = chance.randrange(-(2**63), 2**63)
            made.interaction.geolocation.country_code = "DE"
        return made

    def _struct(self, depth: int) -> Struct:
        made = Struct()
        made.update({"text": "\u2028\0\x7f", "number": self._chance.random(), "none": None, "list": [1, [True, {}]]})
        if depth:
            made.fields["deeper"].struct_value.CopyFrom(self._struct(depth - 1))
        return made

    def _mutated(self, data: bytes) -> bytes:
        made = bytearray(data)
        for _ in range(self._chance.randrange(1, 4)):
            made[self._chance.randrange(len(made))] = self._chance.randrange(256)
        return bytes(made)

    def _unknown(self) -> bytes:
        chance = self._chance
        number = chance.choice((900, 1002, 2**29 - 1))
        return chance.choice(
            (
                varint(number << 3) + varint(chance.randrange(2**64)),
                varint(number << 3 | 1) + chance.randbytes(8),
                varint(number << 3 | 5) + chance.randbytes(4),
                field(number, chance.randbytes(chance.choice((0, 10, 10_000)))),
                varint(number << 3 | 3) + field(5, b"x") + varint(number << 3 | 4),  # a group
                (varint(number << 3 | 3) * 90) + (varint(number << 3 | 4) * 90),  # groups in groups
                varint(number << 3 | 3),  # a group without an end
                varint(number << 3 | 2) + varint(2**31),  # a length beyond the end
                varint(number << 3 | 7),  # an invalid wire type
                b"\xff" * 11,  # a varint without an end
            )
        )

    def _strange_field(self) -> bytes:
        chance = self._chance
        entry = field(1, b"key") + varint(2 << 3 | 1)
        nan, infinity, one = (b"\0\0\0\0\0\0\xf8\x7f", b"\0\0\0\0\0\0\xf0\x7f", b"\0\0\0\0\0\0\xf0\x3f")
        deep = b""
        for _ in range(chance.choice((10, 25, 120))):
            deep = field(1, field(1, b"a") + field(2, field(5, deep)))
        return chance.choice(
            (
                field(6, field(5, entry + one) + field(5, entry + nan)),  # a repeated key, of which the last one counts
                field(6, field(5, entry + nan) + field(5, entry + one)),
                field(6, field(5, entry + infinity)),
                field(6, field(2, field(1, b"old") + varint(2 << 3) + varint(2**63))),  # legacy_metadata
                field(6, field(3, deep)),
                field(6, field(3, field(1, field(1, b"x") + field(2, varint(2 << 3 | 1) + nan)))),
                field(6, field(3, field(1, field(1, b"x") + field(2, b"")))),  # a Value without a kind
                field(6, field(3, field(1, b"")) * 3),
                field(3, b"\xff\xfe"),  # invalid UTF-8
                field(8, field(1, field(1, b"\xed\xa0\x80"))),  # a surrogate
                field(3, b"search\n"),
                field(4, b"x" * 65),
                field(1, b"\0"),
                field(1, "\u202e".encode() * 80),
                field(1, b""),
                field(2, varint(1 << 3) + varint(2**64 - 1)),  # a timestamp of -1 s, which is in 1969 and valid
                field(2, varint(1 << 3) + varint(2**62)),
                field(2, varint(2 << 3) + varint(10**9)),
                field(6, field(1, b"wrong kind")),
                field(9, field(1, b"x" * chance.choice((*(10, 100_000) * 10, 1_100_000)))),
                field(8, b"".join(field(1, field(1, b"%d" % number)) for number in range(2_000))),
            )
        )
