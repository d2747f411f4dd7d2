"""Engines and settings that a recorder cannot use are rejected in one line."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from export import ExporterSettings, ExportJobs, GatewayClient, GatewayStore
from recorder import Recorder, UnsupportedDatabaseError
from recorder.settings import RecorderSettings
from support.events import CANARY
from telemetry import InvalidInputError
from telemetry_admin.app import app_from_settings
from telemetry_gateway.server import GatewayServer
from telemetry_ingest import create_app
from telemetry_store.engine import create_database_engine


@pytest.mark.parametrize("engine", ["async", "sync_engine", "url"])
def test_an_engine_for_asyncio_is_rejected_with_advice(engine: str) -> None:
    url = f"postgresql+psycopg_async://u:{CANARY}@127.0.0.1:1/x"
    made = create_async_engine(url)
    given: Any = {"async": made, "sync_engine": made.sync_engine, "url": create_database_engine(url)}[engine]
    with pytest.raises(UnsupportedDatabaseError, match=r"use AsyncRecorder\(Recorder.from_url") as caught:
        Recorder.from_engine(given, service_version="1")
    said = str(caught.value)
    assert said.startswith("engine: must be a SQLAlchemy Engine")
    assert ("AsyncEngine" in said) == (engine == "async")
    assert (CANARY in said, "\n" in said) == (False, False)


@pytest.mark.parametrize("given", [f"sqlite:///{CANARY}.db", None, 7])
def test_an_object_that_is_not_an_engine_is_rejected(given: Any) -> None:
    with pytest.raises(UnsupportedDatabaseError, match="must be a SQLAlchemy Engine") as caught:
        Recorder.from_engine(given, service_version="1")
    assert CANARY not in str(caught.value)


def wrong(kind: str, given: str) -> str:
    return f"settings: must be {kind}, not {given}; make them with {kind}.load(...)"


@pytest.mark.parametrize("given", [{}, {"export_mode": CANARY}])
def test_a_dict_instead_of_settings_is_rejected(given: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with pytest.raises(InvalidInputError) as caught:
        Recorder.from_url(url, service_version="1", settings=given)
    assert str(caught.value) == wrong("RecorderSettings", "dict")
    engine = create_database_engine(url)
    with pytest.raises(InvalidInputError) as caught:
        Recorder.from_engine(engine, service_version="1", settings=given)
    assert str(caught.value) == wrong("RecorderSettings", "dict")
    engine.dispose()


def test_settings_of_another_program_are_rejected() -> None:
    other: Any = ExporterSettings.load()
    with pytest.raises(InvalidInputError) as caught:
        Recorder.from_url(service_version="1", settings=other)
    assert str(caught.value) == wrong("RecorderSettings", "ExporterSettings")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (ExportJobs, "ExporterSettings"),
        (GatewayClient.from_settings, "ExporterSettings"),
        (GatewayStore.from_settings, "ExporterSettings"),
        (GatewayServer, "GatewaySettings"),
        (create_app, "IngestSettings"),
        (app_from_settings, "AdminSettings"),
    ],
)
def test_every_program_rejects_a_dict(make: Any, kind: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        make({"export_addr": CANARY})
    assert str(caught.value) == wrong(kind, "dict")


def test_settings_that_are_given_are_used() -> None:
    settings = RecorderSettings.load(record_timeout=timedelta(seconds=1))
    assert RecorderSettings.checked(settings) is settings
