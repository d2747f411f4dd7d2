"""URL paths within the page, below the path where a host has mounted it."""

from typing import Any

from starlette.requests import Request
from starlette.routing import Router


def path_to(request: Request, name: str, **parameters: Any) -> str:
    """Return the URL path of a route by its name, including the path where the application is mounted."""
    router: Router = request.scope["app"].router
    return f"{request.scope.get('root_path', '')}{router.url_path_for(name, **parameters)}"


def path_within(request: Request, target: str) -> str:
    """Return the redirect target that a form named, including the mount path; the overview if it is not allowed.

    Only paths within this application are allowed: no scheme, no host, and nothing that a browser reads as one.
    """
    # SECURITY: prevents open redirects: a link to the login form must not lead to another site after the login.
    ours = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return f"{request.scope.get('root_path', '')}{target}" if ours else path_to(request, "overview")
