"""The page as an ASGI application: served by `telemetry admin serve`, or mounted in a host's application."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from telemetry import TelemetryError
from telemetry.event import Clock, now_utc
from telemetry_admin.access import Access
from telemetry_admin.gate import Gate
from telemetry_admin.pages import Pages
from telemetry_admin.settings import AdminSettings
from telemetry_runtime.privacy_settings import PrivacySettings
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine

_STATIC: Final = Path(__file__).parent / "static"
# No client waits longer for a page; a longer query would only occupy a thread and a connection.
_ANSWER_TIMEOUT: Final = timedelta(minutes=1)


def admin_app(
    database: Database,
    privacy: PrivacySettings,
    *,
    access: Access | None = None,
    hosts: Iterable[str] = (),
    clock: Clock = now_utc,
) -> Starlette:
    """Return the page as an ASGI application, to be mounted in a host's application.

        app.mount("/telemetry", admin_app(database, PrivacySettings.load(), access=Access(token), hosts=["a.example"]))

    Args:
        database: The database to show. The caller closes it.
        privacy: The redaction and export rules to show.
        access: Access control. SECURITY: by default every client has access; then mount the page behind
            the host's own authentication.
        hosts: Host names, without ports, that browsers use for the page, besides loopback names; `*` for any.
        clock: Returns the current time.
    """
    access = access or Access()
    pages = Pages(database, privacy, access, clock)
    return Starlette(
        routes=[
            Route("/", pages.overview, name="overview"),
            Route("/overview.json", pages.overview_json, name="overview_json"),
            Route("/dead-letters", pages.dead_letters, name="dead_letters"),
            Route("/dead-letters/requeue", pages.requeue, methods=["POST"], name="requeue"),
            Route("/left", pages.left, name="left"),
            Route("/events/{event_id}", pages.event, name="event"),
            Route("/allowlist", pages.allowlist, name="allowlist"),
            Route("/login", pages.login_form, methods=["GET"], name="login_form"),
            Route("/login", pages.login, methods=["POST"], name="login"),
            Route("/logout", pages.logout, methods=["POST"], name="logout"),
            Route("/theme", pages.theme, methods=["POST"], name="theme"),
            Mount("/static", StaticFiles(directory=_STATIC), name="static"),
        ],
        middleware=[Middleware(Gate, access=access, hosts=tuple(hosts))],
        exception_handlers={HTTPException: pages.on_error, TelemetryError: pages.on_error},
    )


def app_from_settings(settings: AdminSettings) -> Starlette:
    """Return the page as `telemetry admin serve` serves it. It opens and closes its own database.

    Raises:
        UnsupportedDatabaseError: The database URL names an unsupported database.
    """
    AdminSettings.checked(settings)
    database = Database(create_database_engine(settings.database_url, timeout=_ANSWER_TIMEOUT))
    access = Access(settings.known_token(), session=settings.session)
    app = admin_app(database, settings, access=access, hosts=(settings.listen_host, *settings.hosts))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            database.close()

    app.router.lifespan_context = lifespan
    return app
