"""What stands before every page: the host's name, the session, where a form comes from, and the headers."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telemetry_admin.access import Access
from telemetry_admin.addresses import path_to
from telemetry_runtime.listening import is_loopback

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# SECURITY: nothing from elsewhere, no script at all, no frame around the page, forms to ourselves only.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that browsers send forms of this page with the origin "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_OPEN: Final = ("/login", "/static/")


class Gate:
    """ASGI middleware. Afterwards `request.state.session` holds the browser's session, which forms are bound to.

    Args:
        app: What it stands before.
        access: Who may.
        hosts: The names, without ports, that the page may be reached by, beside those of loopback; `*` for any.
    """

    def __init__(self, app: ASGIApp, *, access: Access, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._access = access
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it."""
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
                # Files of the package are asked about again each time, and seldom sent again.
                headers.setdefault("Cache-Control", "no-cache" if "etag" in headers else "no-store")
                if cookie is not None:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if not self._host_is_known(request):
            return PlainTextResponse(
                "This page is not served under this name. Name it in TELEMETRY_ADMIN_ALLOWED_HOSTS.\n", 421
            )
        bearer = self._bearer(request)
        cookie = request.cookies.get(cookie_name(request), "")
        holds = self._access.session_holds(cookie)
        request.state.session = cookie if holds else ""
        request.state.by_bearer = bearer is True
        if bearer is False:
            return PlainTextResponse("The token is not right.\n", 401, {"WWW-Authenticate": "Bearer"})
        # SECURITY: a browser sends the origin with every form; one from elsewhere, or from nowhere, is refused.
        if request.method not in SAFE_METHODS and bearer is None and not _is_of_our_origin(request):
            return PlainTextResponse("The form does not come from this page.\n", 403)
        path = _path_below(request)
        # SECURITY: what is not open needs the token, once a browser or with each request.
        if bearer or holds or not self._access.needs_token or path.startswith(_OPEN):
            return None
        if request.method in SAFE_METHODS and not path.endswith(".json"):
            target = f"{path}?{request.url.query}" if request.url.query else path
            return RedirectResponse(f"{path_to(request, 'login')}?{urlencode({'next': target})}", 303)
        return PlainTextResponse("Log in first, or send Authorization: Bearer TOKEN.\n", 401)

    def _host_is_known(self, request: Request) -> bool:
        # SECURITY: against DNS rebinding: a name of somebody else's that leads to this machine is not ours.
        host = host_without_port(request.headers.get("host", ""))
        return "*" in self._hosts or host in self._hosts or is_loopback(host)

    def _bearer(self, request: Request) -> bool | None:
        """Returns whether the bearer token is right; None where there is none to be asked about."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not self._access.needs_token or scheme.lower() != "bearer":
            return None
        return self._access.token_is_right(token.strip())

    def _new_cookie(self, request: Request) -> str | None:
        """Gives a browser that needs no token a session, so that its forms can be told from those of others."""
        if self._access.needs_token or request.state.session:
            return None
        request.state.session = self._access.new_session()
        return session_cookie(request, request.state.session, self._access)


def host_without_port(value: str) -> str:
    """Returns the host of a `Host` header, in lower case, without port and brackets."""
    try:
        return (urlsplit(f"//{value}").hostname or "").lower()
    except ValueError:
        return ""


def cookie_name(request: Request) -> str:
    """Returns the name of the session's cookie: with the port, because browsers do not tell cookies by it.

    Several instances behind tunnels on one `localhost` would end each other's sessions.
    """
    return f"telemetry_admin_{request.url.port or 'default'}"


def session_cookie(request: Request, session: str, access: Access) -> str:
    """Returns the `Set-Cookie` header of a session; an empty session ends it."""
    response = Response()
    # SECURITY: out of reach for scripts, and sent with requests that begin on this page only.
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


def _is_of_our_origin(request: Request) -> bool:
    try:
        origin = urlsplit(request.headers.get("origin", "")).netloc
    except ValueError:
        return False
    return bool(origin) and origin == request.headers.get("host", "")


def _path_below(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))
