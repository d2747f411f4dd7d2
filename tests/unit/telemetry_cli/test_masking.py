from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import URL

from telemetry import TelemetryMode
from telemetry_cli.masking import masked_url, shown


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:///telemetry.db", "sqlite:///telemetry.db"),
        ("postgresql://user:pw@host:5432/name", "postgresql://user:***@host:5432/name"),
        ("postgresql://host/name?user=u&password=pw&sslmode=require", "name?password=***&sslmode=require&user=u"),
        ("postgresql://user:p/w@x@host/name", "@host/name"),
        ("nats://user:pw@a:4222,nats://u:pw@b:4222", "nats://***@b:4222"),
        ("https://id:pw@auth.example.com/token?client_secret=pw", "auth.example.com/token?client_secret=***"),
    ],
)
def test_urls_are_shown_without_their_secrets(url: str, masked: str) -> None:
    assert masked_url(url).endswith(masked)
    assert "pw" not in masked_url(url)
    assert "p/w" not in masked_url(url)


@pytest.mark.parametrize("password", ["p@ss", "p@s/s", "p@s?s", "p@s#s", "@ss", "a:b@ss"])
def test_a_password_with_an_unencoded_at_sign_is_masked_completely(password: str) -> None:
    assert masked_url(f"postgresql://user:{password}@host/name?sslmode=require") == (
        "postgresql://***@host/name?sslmode=require"
    )


@given(password=st.text(min_size=1, max_size=20), host=st.sampled_from(["host", "127.0.0.1", "::1"]))
def test_any_password_is_masked(password: str, host: str) -> None:
    marked = f"<{password}>"
    url = URL.create("postgresql", "user", marked, host, 5432, "name").render_as_string(hide_password=False)
    assert masked_url(url) == f"postgresql://user:***@{f'[{host}]' if ':' in host else host}:5432/name"
    assert marked not in masked_url(f"postgresql://user:{marked}@{host}:port/name")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        (SecretStr("secret"), "***"),
        (timedelta(minutes=90), "1h30m"),
        (False, "false"),
        (7, "7"),
        (TelemetryMode.LOCAL, "local"),
        (Path("a/b"), "a/b"),
        ("postgresql://u:secret@h/n", "postgresql://u:***@h/n"),
    ],
)
def test_settings_are_shown_as_they_are_written(value: object, text: str | None) -> None:
    assert shown(value) == text
