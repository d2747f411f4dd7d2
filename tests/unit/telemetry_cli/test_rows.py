import pytest

from telemetry import InvalidIdError
from telemetry_cli.rows import checked_ids

OURS = "0193a9c4-7b1e-7c3a-9d52-5f0e8a6b1c2d"
OF_AN_ADOPTED_QUEUE = "3f2b8c1e-9d4a-4e6f-8b7a-1c2d3e4f5a6b"


def test_ids_of_an_adopted_queue_can_be_named_too() -> None:
    assert checked_ids([OURS, OF_AN_ADOPTED_QUEUE, OURS]) == [OURS, OF_AN_ADOPTED_QUEUE]


@pytest.mark.parametrize("given", ["nonsense", "", OURS.upper(), OURS.replace("-", ""), f"{{{OURS}}}", f"{OURS}\n"])
def test_what_is_no_id_as_the_queue_has_it_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(InvalidIdError, match="must be a UUID in canonical lower-case text") as caught:
        checked_ids([given])
    assert not given or given not in str(caught.value)
