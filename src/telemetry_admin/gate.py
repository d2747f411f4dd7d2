"""Middleware in front of every page: checks host name, session and the origin of forms, and sets the headers."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telemetry_admin.access import Access
from telemetry_admin.addresses import path_to
from telemetry_runtime.loopback import is_loopback

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# SECURITY: no content from other sites, no scripts, no framing; forms post to this site only.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers would then send "Origin: null" with forms of this page.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_OPEN: Final = ("/login", "/static/")


class Gate:
    """ASGI middleware that checks access. Sets `request.state.session`, the session that forms are bound to.

    Args:
        app: The application behind it.
        access: Access control.
        hosts: Accepted host names, without ports, besides loopback names; `*` for any.
    """

    def __init__(self, app: ASGIApp, *, access: Access, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._access = access
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or reject it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        refusal = self._refusal(request)
        cookie = self._new_cookie(request) if refusal is None else None

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                # Browsers revalidate static files on each use, and rarely download them again.
                headers.setdefault("Cache-Control", "no-cache" if "etag" in headers else "no-store")
                if cookie is not None:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if not self._host_is_known(request):
            return PlainTextResponse("This host name is not allowed. Add it to TELEMETRY_ADMIN_ALLOWED_HOSTS.\n", 421)
        bearer = self._bearer(request)
        cookie = request.cookies.get(cookie_name(request), "")
        holds = self._access.session_is_valid(cookie)
        request.state.session = cookie if holds else ""
        request.state.by_bearer = bearer is True
        if bearer is False:
            return PlainTextResponse("Invalid token.\n", 401, {"WWW-Authenticate": "Bearer"})
        # SECURITY: browsers send the origin with every form; reject forms with another origin or without one (CSRF).
        if request.method not in SAFE_METHODS and bearer is None and not _has_own_origin(request):
            return PlainTextResponse("The form is not from this page.\n", 403)
        path = _path_below(request)
        # SECURITY: every other path requires a session, or the token in the request.
        if bearer or holds or not self._access.needs_token or path.startswith(_OPEN):
            return None
        if request.method in SAFE_METHODS and not path.endswith(".json"):
            target = f"{path}?{request.url.query}" if request.url.query else path
            return RedirectResponse(f"{path_to(request, 'login')}?{urlencode({'next': target})}", 303)
        return PlainTextResponse("Log in first, or send Authorization: Bearer TOKEN.\n", 401)

    def _host_is_known(self, request: Request) -> bool:
        # SECURITY: prevents DNS rebinding: reject foreign names that resolve to this machine.
        host = host_without_port(request.headers.get("host", ""))
        return "*" in self._hosts or host in self._hosts or is_loopback(host)

    def _bearer(self, request: Request) -> bool | None:
        """Return whether the bearer token is right; None if the request has none, or none is needed."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not self._access.needs_token or scheme.lower() != "bearer":
            return None
        return self._access.token_is_valid(token.strip())

    def _new_cookie(self, request: Request) -> str | None:
        """Return the cookie of a new session for a browser that needs no token, so that its forms can be verified."""
        if self._access.needs_token or request.state.session:
            return None
        request.state.session = self._access.new_session()
        return session_cookie(request, request.state.session, self._access)


def host_without_port(value: str) -> str:
    """Return the host of a `Host` header, in lower case, without port and brackets."""
    try:
        return (urlsplit(f"//{value}").hostname or "").lower()
    except ValueError:
        return ""


def cookie_name(request: Request) -> str:
    """Return the name of the session cookie. It contains the port, because browsers share cookies between ports.

    Without it, several instances behind tunnels on one `localhost` would overwrite each other's sessions.
    """
    return f"telemetry_admin_{request.url.port or 'default'}"


def session_cookie(request: Request, session: str, access: Access) -> str:
    """Return the `Set-Cookie` header of a session; an empty session deletes the cookie."""
    response = Response()
    # SECURITY: not readable by scripts (httponly), and not sent with requests from other sites (samesite).
    response.set_cookie(
        cookie_name(request),
        session,
        max_age=int(access.session.total_seconds()) if session else 0,
        path=request.scope.get("root_path") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response.headers["set-cookie"]


def _has_own_origin(request: Request) -> bool:
    try:
        origin = urlsplit(request.headers.get("origin", "")).netloc
    except ValueError:
        return False
    return bool(origin) and origin == request.headers.get("host", "")


def _path_below(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))
