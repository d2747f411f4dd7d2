"""A closed connection is detected, with any number of its file descriptor."""

import os
import resource
import select
import socket
from collections.abc import Iterator

import pytest

from telemetry_store.dialects.liveness import has_unread_data


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("poll", [True, False])
def test_unread_data_and_a_closed_socket_are_detected(
    pair: tuple[socket.socket, socket.socket], poll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    if not poll:
        monkeypatch.delattr(select, "poll")
    assert not has_unread_data(ours.fileno())
    theirs.send(b"x")
    assert has_unread_data(ours.fileno())
    ours.recv(1)
    theirs.close()
    assert has_unread_data(ours.fileno())


def test_a_file_descriptor_beyond_the_limit_of_select(pair: tuple[socket.socket, socket.socket]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < 2_000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2_000, hard))
    high = os.dup2(pair[0].fileno(), 1_500)
    try:
        assert not has_unread_data(high)
    finally:
        os.close(high)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
