"""How database URLs are read."""

import pytest

from telemetry_store.database_url import read_url


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("postgres://u@h/x", "postgresql+psycopg://u@h/x"),
        ("postgresql://u@h/x?sslmode=require", "postgresql+psycopg://u@h/x?sslmode=require"),
        ("postgres+psycopg://u@h/x", "postgresql+psycopg://u@h/x"),
        ("postgresql+psycopg_async://u@h/x", "postgresql+psycopg_async://u@h/x"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("sqlite+pysqlite:///x.db", "sqlite+pysqlite:///x.db"),
    ],
)
def test_a_url_gets_its_driver(url: str, read: str) -> None:
    assert read_url(url)[0].render_as_string() == read
