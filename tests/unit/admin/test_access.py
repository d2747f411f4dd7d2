from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from support.databases import ManualClock
from telemetry_admin import Access


def test_a_session_expires() -> None:
    clock = ManualClock()
    access = Access("token", session=timedelta(hours=1), clock=clock)
    cookie = access.new_session()

    clock.advance(minutes=59)
    assert access.session_is_valid(cookie)
    clock.advance(minutes=1)
    assert not access.session_is_valid(cookie)


def test_sessions_are_valid_in_all_processes_with_the_same_secret() -> None:
    for first, second, other in (
        (Access("token"), Access("token"), Access("other")),
        (Access(secret=b"s"), Access(secret=b"s"), Access(secret=b"other")),
    ):
        cookie = first.new_session()
        assert second.session_is_valid(cookie)
        assert second.form_token_is_valid(cookie, first.form_token(cookie))
        assert not other.session_is_valid(cookie)
        assert not other.form_token_is_valid(cookie, first.form_token(cookie))
    assert not Access().session_is_valid(Access().new_session())


def test_without_a_token_every_token_is_invalid() -> None:
    assert not Access().token_is_valid("")
    assert not Access().needs_token


@given(st.text(), st.integers(0, 200), st.characters())
def test_a_tampered_session_is_invalid(made_up: str, place: int, character: str) -> None:
    access = Access("token")
    cookie = access.new_session()
    changed = cookie[: place % len(cookie)] + character + cookie[place % len(cookie) + 1 :]

    assert access.session_is_valid(cookie)
    assert not access.session_is_valid(made_up)
    assert changed == cookie or not access.session_is_valid(changed)


@given(st.text())
def test_only_the_token_is_valid(given_token: str) -> None:
    access = Access("the token")

    assert access.token_is_valid(given_token) == (given_token == "the token")
