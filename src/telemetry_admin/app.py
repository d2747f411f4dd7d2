"""The page as an ASGI application: served by `telemetry admin serve`, or mounted in a host's."""

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
from telemetry_store.database import Database, create_database_engine

_STATIC: Final = Path(__file__).parent / "static"
# A page that takes longer is not waited for by anybody, and would hold a thread and a connection.
_ANSWER_TIMEOUT: Final = timedelta(minutes=1)


def admin_app(
    database: Database,
    privacy: PrivacySettings,
    *,
    access: Access | None = None,
    hosts: Iterable[str] = (),
    clock: Clock = now_utc,
) -> Starlette:
    """Returns the page as an ASGI application, to be mounted in a host's.

        app.mount("/telemetry", admin_app(database, PrivacySettings.load(), access=Access(token), hosts=["a.example"]))

    Args:
        database: What it is about. The host closes it.
        privacy: The rules about leaving, which it shows.
        access: Who may see it. SECURITY: by default everybody who reaches it; then it must stand behind
            the host's own authentication.
        hosts: The names, without ports, that browsers reach it by, beside those of loopback; `*` for any.
        clock: Tells the time.
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
    """Returns the page as `telemetry admin serve` serves it, with a database of its own.

    Raises:
        UnsupportedDatabaseError: The database URL names none that can be used.
    """
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
