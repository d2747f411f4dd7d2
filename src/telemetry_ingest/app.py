"""Assembles the ingest service as an ASGI application, served alone or mounted into a host's application."""

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
from telemetry_ingest.auth import CallerAuthenticator, RejectTokens
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
    """Create the service's ASGI application.

    A host does not run the lifespan of mounted applications. If you mount this one, run it yourself with
    `async with app.router.lifespan_context(app)`; otherwise nothing is closed at shutdown.

    Args:
        settings: The settings of the service.
        database: Where events are stored; by default opened from the settings, and closed at shutdown.
        recorder: The host's recorder; by default made from the settings on `database`, and closed at shutdown.
        authenticator: The hook that authenticates callers; by default it reads the settings' tokens file.
        registry: Where metrics are registered; by default a private registry that is not served.

    Raises:
        InvalidSettingsError: A file named by the settings can no longer be read.
        UnsupportedDatabaseError: The database URL names an unsupported database.
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
        # The endpoint matches packages' routes itself: they can be any path that no other route serves.
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
    return RejectTokens() if settings.tokens_file is None else TokensFile(settings.tokens_file)


def _for_browsers(app: App, origins: Sequence[str]) -> App:
    """Allow pages of these origins to send requests and read responses (CORS)."""
    if not origins:
        return app
    # SECURITY: no browser credentials such as cookies: the page sends its token itself.
    return CORSMiddleware(
        app,  # pyright: ignore[reportArgumentType]
        allow_origins=origins,
        allow_methods=("POST",),
        allow_headers=_REQUEST_HEADERS,
        expose_headers=("Retry-After",),
    )
