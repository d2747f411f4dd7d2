"""Authentication: the hook alone decides who the caller is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from support.graphql_client import RECORDED, IngestClient, KnownTokens, client_event, ingest_client, messages
from support.recorders import logged, queued
from telemetry_ingest import AuthenticatorUnavailableError, Caller, InvalidCredentialsError, NotPermittedError
from telemetry_ingest.tokens import tokens_entry
from telemetry_store.database import Database

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"])

SECRET = "SECRET-5d1f"


@pytest.fixture
def closed(database: Database) -> Iterator[IngestClient]:
    """A service that requires credentials."""
    callers = {"good": Caller(user_id=42, feature_flags={"beta": True}), "robot": Caller()}
    with ingest_client(database, anonymous=False, authenticator=KnownTokens(**callers)) as client:
        yield client


@pytest.mark.parametrize("header", ["token good", "Bearer good", "bearer  good", "TOKEN good "])
def test_both_authorization_schemes_are_accepted(closed: IngestClient, database: Database, header: str) -> None:
    assert closed.record(client_event(), headers={"authorization": header}).json() == RECORDED
    (event,) = queued(database).values()
    assert event.user.user_id == 42
    assert dict(event.feature_flags.flags) == {"beta": "true"}


def test_a_token_without_user_id_records_no_user(closed: IngestClient, database: Database) -> None:
    assert closed.record(client_event(), headers={"authorization": "Bearer robot"}).json() == RECORDED
    (event,) = queued(database).values()
    assert not event.HasField("user")


@pytest.mark.parametrize(
    "header", [SECRET, f"token {SECRET}", f"Basic {SECRET}", "token", "Bearer ", "token good good", "Bearer gööd"]
)
def test_invalid_credentials_are_rejected_even_with_anonymous_on(
    closed: IngestClient, database: Database, header: str
) -> None:
    for anonymous in (False, True):
        with ingest_client(database, anonymous=anonymous, authenticator=KnownTokens(good=Caller(user_id=42))) as client:
            answer = client.record(client_event(), headers={"authorization": header.encode("latin-1")})  # type: ignore[dict-item]
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
            assert SECRET not in answer.text
    assert logged(database) == []


def test_duplicate_authorization_headers_are_rejected(closed: IngestClient) -> None:
    answer = closed.request(
        "POST",
        "/.api/graphql",
        content=b"{}",
        headers=[("content-type", "application/json"), ("authorization", "token good"), ("authorization", "token x")],
    )
    assert answer.status_code == 401


def test_anonymous_callers_are_rejected_unless_allowed(closed: IngestClient, database: Database) -> None:
    answer = closed.record(client_event(), headers={"X-Sourcegraph-Actor-Anonymous-UID": "anonymous-1"})
    assert (answer.status_code, messages(answer)) == (401, ["send credentials: Authorization: Bearer TOKEN"])
    with ingest_client(database, anonymous=True) as client:
        assert client.record(client_event()).json() == RECORDED
        # A service without tokens rejects every token.
        assert client.record(client_event(), headers={"authorization": "token x"}).status_code == 401


def test_the_built_in_hook_accepts_the_tokens_of_its_file(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    entries = (
        tokens_entry("first", user_id=1, site_admin=False, note='"quoted" é'),
        tokens_entry("admin", user_id=None, site_admin=True, note=""),
    )
    file.write_text("".join(entries), encoding="utf-8")
    with ingest_client(database, anonymous=False, tokens_file=file) as client:
        assert client.record(client_event(), headers={"authorization": "token first"}).json() == RECORDED
        assert client.record(client_event(), headers={"authorization": "token other"}).status_code == 401
        assert client.record(client_event()).status_code == 401
        query = "{ telemetry { exportedEvents { totalCount } } }"
        assert client.query(query, {"authorization": "token admin"})["data"] == {
            "telemetry": {"exportedEvents": {"totalCount": 0}}
        }
        assert client.query(query, {"authorization": "token first"})["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    (event,) = queued(database).values()
    assert event.user.user_id == 1


def test_tokens_are_added_and_removed_without_a_restart(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(tokens_entry("first", user_id=1, site_admin=False, note=""))
    first, second = {"authorization": "token first"}, {"authorization": "token second"}
    with ingest_client(database, anonymous=False, tokens_file=file) as client:
        assert client.record(client_event(), headers=first).json() == RECORDED
        assert client.record(client_event(), headers=second).status_code == 401
        file.write_text(tokens_entry("second", user_id=22, site_admin=False, note=""))
        assert client.record(client_event(), headers=first).status_code == 401
        assert client.record(client_event(), headers=second).json() == RECORDED
        file.write_text("")  # no valid tokens from now on
        assert client.record(client_event(), headers=second).status_code == 401


class Sessions:
    """A host's hook that uses sessions."""

    async def authenticate(self, token: str | None, request: HTTPConnection) -> Caller | None:
        assert token is None
        return Caller(user_id=int(request.cookies["session"])) if "session" in request.cookies else None


def test_a_hook_can_use_the_request(database: Database) -> None:
    with ingest_client(database, anonymous=False, authenticator=Sessions()) as client:
        assert client.record(client_event(), headers={"cookie": "session=9"}).json() == RECORDED
        assert client.record(client_event()).status_code == 401
    (event,) = queued(database).values()
    assert event.user.user_id == 9


class Unreachable:
    async def authenticate(self, token: str | None, request: HTTPConnection) -> Caller | None:
        raise AuthenticatorUnavailableError("the directory cannot be reached")


def test_an_unavailable_hook_gets_status_503_and_retry_after(database: Database) -> None:
    with ingest_client(database, authenticator=Unreachable()) as client:
        answer = client.record(client_event(), headers={"authorization": "token x"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert messages(answer) == ["the directory cannot be reached"]
    assert logged(database) == []


class ExpiredError(InvalidCredentialsError):
    """A subclass defined by the host."""


class Picky:
    async def authenticate(self, token: str | None, request: HTTPConnection) -> Caller | None:
        if token == "expired":
            raise ExpiredError("the token has expired")
        raise NotPermittedError("this account may not record")


def test_a_hook_can_raise_subclasses(database: Database) -> None:
    with ingest_client(database, authenticator=Picky()) as client:
        for token, status, said in (
            ("expired", 401, "the token has expired"),
            ("other", 403, "this account may not record"),
        ):
            answer = client.record(client_event(), headers={"authorization": f"token {token}"})
            assert (answer.status_code, messages(answer)) == (status, [said])
    assert logged(database) == []
