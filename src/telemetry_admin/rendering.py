"""Renders templates as pages."""

from datetime import datetime
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from telemetry_admin import formats
from telemetry_admin.addresses import path_to

THEMES: Final = ("auto", "light", "dark")
THEME_COOKIE: Final = "telemetry_admin_theme"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("telemetry_admin"),
        # SECURITY: event names, sources and reasons can contain any text; escape all of it (XSS).
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=formats.number,
        short_number=formats.short_number,
        share=formats.share,
        size=formats.size,
        duration=formats.duration,
        ago=formats.ago,
        moment=formats.moment,
        machine_moment=formats.machine_moment,
    )
    return environment


_ENVIRONMENT: Final = _environment()


def page(request: Request, template: str, *, now: datetime, status: int = 200, **facts: Any) -> HTMLResponse:
    """Render a page.

    Args:
        request: The request to respond to.
        template: The template's name, without file extension.
        now: The time that other times are relative to.
        status: The HTTP status.
        facts: Variables of the template.
    """
    theme = request.cookies.get(THEME_COOKIE, "auto")
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    text = _ENVIRONMENT.get_template(f"{template}.html").render(
        path_to=lambda name, **parameters: path_to(request, name, **parameters),
        here=f"{path}?{request.url.query}" if request.url.query else path,
        theme=theme if theme in THEMES else "auto",
        themes=THEMES,
        now=now,
        **facts,
    )
    return HTMLResponse(text, status)
