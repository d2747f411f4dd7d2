"""Assembles the service: an application for a process of its own, or to be mounted into a host's."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from importlib import metadata
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Mount, Route

from recorder import AsyncRecorder, Recorder
from telemetry.web.asgi import App
from telemetry_ingest.auth import CallerAuthenticator, Nobody
from telemetry_ingest.collection import CollectionEndpoint, CollectionMetrics
from telemetry_ingest.graphql import GRAPHQL_PATH, GraphQLEndpoint, GraphQLLimits
from telemetry_ingest.health import Health
from telemetry_ingest.limits import AddressLimit
from telemetry_ingest.metrics import GraphQLMetrics
from telemetry_ingest.settings import IngestSettings
from telemetry_ingest.tokens import TokensFile
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.queue_reading import QueueReading

_REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "X-Requested-With",
    "X-Sourcegraph-Actor-Anonymous-UID",
    "X-Sourcegraph-Interaction-ID",
)


def create_app(
    settings: IngestSettings,
    *,
    database: Database | None = None,
    recorder: AsyncRecorder | None = None,
    authenticator: CallerAuthenticator | None = None,
    registry: CollectorRegistry | None = None,
) -> Starlette:
    """Makes the service's ASGI application.

    Mounted into a host, which runs no lifespans but its own, its lifespan is run by
    `async with app.router.lifespan_context(app)`; without, nothing is closed when the host ends.

    Args:
        settings: What an operator said.
        database: Where events are stored; by default the settings', and closed at the end.
        recorder: The host's own; by default one on `database`, made by the settings, and closed at the end.
        authenticator: The hook that tells callers; by default the settings' tokens file.
        registry: Where metrics are registered; by default nobody sees them.

    Raises:
        InvalidSettingsError: A file that the settings name cannot be read any more.
        UnsupportedDatabaseError: The database URL is none that works.
    """
    IngestSettings.checked(settings)
    owned = contextlib.AsyncExitStack()
    if database is None:
        database = Database(create_database_engine(settings.database_url, timeout=settings.record_timeout))
        owned.callback(database.close)
    if recorder is None:
        recorder = _make_recorder(settings, database)
        owned.push_async_callback(recorder.close)
    registry = CollectorRegistry() if registry is None else registry
    limit = None
    if settings.requests_per_second:
        limit = AddressLimit(settings.requests_per_second, burst_seconds=settings.burst.total_seconds())
    graphql = GraphQLEndpoint(
        recorder,
        QueueReading(database),
        authenticator or _make_authenticator(settings),
        limits=GraphQLLimits(
            max_body_bytes=settings.max_body_bytes,
            body_timeout=settings.body_timeout,
            max_events=settings.max_events,
            anonymous=settings.anonymous,
        ),
        address_limit=limit,
        metrics=GraphQLMetrics(registry),
    )
    routes: list[BaseRoute] = [
        *Health(database).routes(),
        Route(GRAPHQL_PATH, _for_browsers(graphql, settings.allowed_origins)),
    ]

    if packages := settings.packages():
        collection = CollectionEndpoint(
            packages,
            recorder,
            limit=limit,
            body_timeout=settings.body_timeout,
            metrics=CollectionMetrics(registry),
        )
        # Their routes are matched by the endpoint itself: they may lie anywhere that nothing else does.
        routes.append(Mount("/", collection))

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        async with owned:
            yield

    return Starlette(routes=routes, lifespan=lifespan)


def _make_recorder(settings: IngestSettings, database: Database) -> AsyncRecorder:
    recorder = Recorder.on_database(
        database,
        service_version=metadata.version("telemetry-recorder"),
        policy=settings.export_policy(),
        redactor=settings.redactor(),
        max_event_bytes=settings.max_event_bytes,
        catalog=settings.catalog(),
    )
    return AsyncRecorder(recorder)


def _make_authenticator(settings: IngestSettings) -> CallerAuthenticator:
    return Nobody() if settings.tokens_file is None else TokensFile(settings.tokens_file)


def _for_browsers(app: App, origins: Sequence[str]) -> App:
    """Lets pages of these origins send requests and read answers."""
    if not origins:
        return app
    # SECURITY: no credentials of the browser's own, such as cookies: tokens are sent by the page itself.
    return CORSMiddleware(
        app,  # pyright: ignore[reportArgumentType]
        allow_origins=origins,
        allow_methods=("POST",),
        allow_headers=_REQUEST_HEADERS,
        expose_headers=("Retry-After",),
    )
