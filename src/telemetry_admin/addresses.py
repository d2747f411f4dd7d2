"""Addresses within the page, wherever a host has mounted it."""

from typing import Any

from starlette.requests import Request
from starlette.routing import Router


def path_to(request: Request, name: str, **parameters: Any) -> str:
    """Returns the path of a page by its name, below the place where the application is mounted."""
    router: Router = request.scope["app"].router
    return f"{request.scope.get('root_path', '')}{router.url_path_for(name, **parameters)}"


def path_within(request: Request, target: str) -> str:
    """Returns a path that a form named, below the place where the application is mounted; else the first page.

    Only a path of our own: no scheme, no host, and nothing that a browser would take for one.
    """
    # SECURITY: else a link to the login form could send people elsewhere once they are in.
    ours = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return f"{request.scope.get('root_path', '')}{target}" if ours else path_to(request, "overview")
