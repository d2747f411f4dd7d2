from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from support.databases import ManualClock
from telemetry_admin import Access


def test_a_session_holds_for_its_time_and_not_longer() -> None:
    clock = ManualClock()
    access = Access("token", session=timedelta(hours=1), clock=clock)
    cookie = access.new_session()

    clock.advance(minutes=59)
    assert access.session_holds(cookie)
    clock.advance(minutes=1)
    assert not access.session_holds(cookie)


def test_processes_with_the_same_token_or_secret_know_each_others_sessions() -> None:
    for first, second, other in (
        (Access("token"), Access("token"), Access("other")),
        (Access(secret=b"s"), Access(secret=b"s"), Access(secret=b"other")),
    ):
        cookie = first.new_session()
        assert second.session_holds(cookie)
        assert second.form_token_is_right(cookie, first.form_token(cookie))
        assert not other.session_holds(cookie)
        assert not other.form_token_is_right(cookie, first.form_token(cookie))
    assert not Access().session_holds(Access().new_session())


def test_without_a_token_none_is_right() -> None:
    assert not Access().token_is_right("")
    assert not Access().needs_token


@given(st.text(), st.integers(0, 200), st.characters())
def test_a_session_that_was_changed_anywhere_does_not_hold(made_up: str, place: int, character: str) -> None:
    access = Access("token")
    cookie = access.new_session()
    changed = cookie[: place % len(cookie)] + character + cookie[place % len(cookie) + 1 :]

    assert access.session_holds(cookie)
    assert not access.session_holds(made_up)
    assert changed == cookie or not access.session_holds(changed)


@given(st.text())
def test_only_the_token_is_right(given_token: str) -> None:
    access = Access("the token")

    assert access.token_is_right(given_token) == (given_token == "the token")
