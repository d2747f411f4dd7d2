"""The library's views."""

import json
from collections.abc import AsyncIterator
from functools import partial

from django.contrib.auth import authenticate, get_user_model, login
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token

from telemetry import EventParameters

from .recording import asynchronous, best_effort, recorder

BOOKS = ("Ada's Algorithm", "A Pattern Language", "The Art of Computer Programming")


def session(request: HttpRequest) -> HttpResponse:
    """Sign a member in; a GET returns the signed-in member, and sets the CSRF cookie for a POST."""
    get_token(request)
    if request.method == "POST":
        user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
        if user is None:
            return JsonResponse({"problem": "unknown name or password"}, status=401)
        login(request, user)
        recorder.record("account.session", "created")
    return JsonResponse({"member": request.user.get_username()})


def members(request: HttpRequest) -> HttpResponse:
    """Create a member. Events cannot join a Django transaction, so this one is recorded after the commit."""
    with transaction.atomic():
        get_user_model().objects.create_user(request.POST["name"], password=request.POST["password"])
        transaction.on_commit(partial(best_effort.record, "account.member", "created"))
        if request.POST.get("card") == "expired":
            transaction.set_rollback(True)
            return JsonResponse({"problem": "the card has expired"}, status=402)
    return JsonResponse({"member": request.POST["name"]}, status=201)


def search(request: HttpRequest) -> HttpResponse:
    """Search. The query is private, the number of results is not."""
    found = [book for book in BOOKS if request.GET["q"].lower() in book.lower()]
    recorder.record(
        "search.results",
        "submit",
        EventParameters(metadata={"results": len(found)}, private_metadata={"query": request.GET["q"]}),
    )
    return JsonResponse(found, safe=False)


async def suggestions(request: HttpRequest) -> HttpResponse:
    """Return suggestions, in the event loop."""
    found = [book for book in BOOKS if book.startswith(request.GET["prefix"])]
    await asynchronous.record("search.suggestion", "shown", EventParameters(metadata={"count": len(found)}))
    return JsonResponse(found, safe=False)


async def books(request: HttpRequest) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    """Stream all books, then record that they were read."""

    async def lines() -> AsyncIterator[str]:
        for book in BOOKS:
            yield json.dumps(book) + "\n"
        await asynchronous.record("search.download", "finished", EventParameters(metadata={"books": len(BOOKS)}))

    return StreamingHttpResponse(lines(), content_type="application/jsonl")
