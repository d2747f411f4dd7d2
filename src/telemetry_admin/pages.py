"""Request handlers of the pages and their forms."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from telemetry import Redactor
from telemetry.event import Clock
from telemetry.text import text_problem
from telemetry_admin.access import Access
from telemetry_admin.addresses import path_to, path_within
from telemetry_admin.charts import horizontal_bar
from telemetry_admin.forms import read_form
from telemetry_admin.gate import session_cookie
from telemetry_admin.overview import Overview, OverviewReader
from telemetry_admin.rendering import THEME_COOKIE, THEMES, page
from telemetry_admin.time_range import RANGES, range_of
from telemetry_admin.viewer import event_name, view_event
from telemetry_runtime.privacy_settings import PrivacySettings
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue, QueueCounts
from telemetry_store.queue_reading import DeadLetter, ExportedPlace, QueueReading, is_event_id

SHOWN: Final = 50
"""Number of dead letters or exported events on a page, newest first."""

_LONGEST_FEATURE: Final = 512


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """A dead letter with its event's name.

    Attributes:
        letter: The dead letter.
        feature: Its event's feature; empty if the event cannot be read.
        action: Its event's action; likewise.
    """

    letter: DeadLetter
    feature: str
    action: str


class Pages:
    """The handlers of all routes.

    Args:
        database: The database to show.
        privacy: The redaction and export rules to show.
        access: Access control, and tokens of forms.
        clock: Returns the current time.
    """

    def __init__(self, database: Database, privacy: PrivacySettings, access: Access, clock: Clock) -> None:
        self._queue = ExportQueue(database, clock=clock)
        self._reading = QueueReading(database)
        self._overview = OverviewReader(database, clock)
        self._privacy = privacy
        self._access = access
        self._clock = clock

    async def overview(self, request: Request) -> Response:
        """Show events, active people and the queue over a time range."""
        time_range, feature = range_of(request.query_params.get("range", "")), _feature(request)
        read = await self._overview.read(time_range, feature, self._clock())
        return self._page(
            request,
            "overview",
            ranges=RANGES,
            time_range=time_range,
            feature=feature,
            overview=read,
            account=horizontal_bar(_account(read.counts)),
            obstacle=self._privacy.export_policy().obstacle,
            export_mode=str(self._privacy.export_policy().export_mode),
            dead=read.counts.dead,
        )

    async def overview_json(self, request: Request) -> Response:
        """Return the data of the overview as JSON."""
        time_range, feature = range_of(request.query_params.get("range", "")), _feature(request)
        read = await self._overview.read(time_range, feature, self._clock())
        facts = {"range": time_range.key, "feature": feature or None, **_facts(read)}
        return _json({**facts, "nothing_leaves_because": self._privacy.export_policy().obstacle})

    async def dead_letters(self, request: Request) -> Response:
        """List dead letters, with buttons to requeue them."""
        counts = await run_in_threadpool(self._queue.counts)
        letters = await run_in_threadpool(self._letters)
        requeued = request.query_params.get("requeued", "")
        return self._page(
            request,
            "dead_letters",
            letters=letters,
            dead=counts.dead,
            requeued=int(requeued) if requeued.isdecimal() and len(requeued) < len(str(10 * SHOWN)) else None,
        )

    def _letters(self) -> list[ListedLetter]:
        letters = self._reading.dead_letters(SHOWN)
        payloads = self._queue.payloads([letter.id for letter in letters])
        return [ListedLetter(letter, *event_name(payloads.get(letter.id, b""))) for letter in letters]

    async def requeue(self, request: Request) -> Response:
        """Make dead letters due again."""
        form = await read_form(request, self._access)
        ids = form.get("one") or form.get("shown" if "all" in form else "id", [])
        for event_id in ids:
            _check_id(event_id)
        requeued = await run_in_threadpool(self._queue.requeue, ids) if ids else 0
        if request.state.by_bearer:
            return _json({"requeued": requeued})
        return RedirectResponse(f"{path_to(request, 'dead_letters')}?requeued={requeued}", 303)

    async def left(self, request: Request) -> Response:
        """List exported events, a page at a time."""
        after = _place(request.query_params.get("after", ""))
        exported = await run_in_threadpool(self._reading.exported, SHOWN + 1, after)
        shown = exported[:SHOWN]
        counts = await run_in_threadpool(self._queue.counts)
        return self._page(
            request,
            "left",
            events=[(event, *event_name(event.payload)) for event in shown],
            later=after is not None,
            older=str(shown[-1].place) if len(exported) > SHOWN else None,
            counts=counts,
            obstacle=self._privacy.export_policy().obstacle,
            dead=counts.dead,
        )

    async def event(self, request: Request) -> Response:
        """Show an event of the queue after redaction, and what is held back."""
        event_id = _check_id(request.path_params["event_id"])
        payload = (await run_in_threadpool(self._queue.payloads, [event_id])).get(event_id)
        if payload is None:
            raise HTTPException(404, "Event not found in the queue. Exported events are deleted after a while.")
        viewed = view_event(payload, await run_in_threadpool(self._redactor))
        counts = await run_in_threadpool(self._queue.counts)
        return self._page(request, "event", event_id=event_id, viewed=viewed, size=len(payload), dead=counts.dead)

    async def allowlist(self, request: Request) -> Response:
        """Show which private metadata may be exported."""
        redactor = await run_in_threadpool(self._redactor)
        counts = await run_in_threadpool(self._queue.counts)
        return self._page(
            request,
            "allowlist",
            entries=sorted(redactor.allowlist.entries, key=lambda entry: (entry.feature, entry.action or "")),
            today=redactor.today(),
            first_party=redactor.first_party,
            file=self._privacy.allowlist_file,
            dead=counts.dead,
        )

    def _redactor(self) -> Redactor:
        # Reload the rules for each page, as exporters do for each pass.
        try:
            return self._privacy.redactor()
        except ValueError as error:
            raise HTTPException(
                503, f"The redaction rules cannot be read, so exporters send nothing: {error}"
            ) from None

    async def login_form(self, request: Request) -> Response:
        """Show the login form."""
        if request.state.session or not self._access.needs_token:
            return RedirectResponse(path_to(request, "overview"), 303)
        return self._login(request, request.query_params.get("next", "/"))

    async def login(self, request: Request) -> Response:
        """Check the token and start a session."""
        form = await read_form(request, self._access, has_token=False)
        target = form.get("next", ["/"])[0]
        if not self._access.token_is_valid(form.get("token", [""])[0].strip()):
            return self._login(request, target, status=401, problem="Invalid token.")
        response = RedirectResponse(path_within(request, target), 303)
        response.headers.append("Set-Cookie", session_cookie(request, self._access.new_session(), self._access))
        return response

    def _login(self, request: Request, target: str, *, status: int = 200, problem: str | None = None) -> Response:
        return self._page(request, "login", status=status, next=target, problem=problem, dead=0)

    async def logout(self, request: Request) -> Response:
        """End the session in this browser."""
        await read_form(request, self._access)
        response = RedirectResponse(path_to(request, "login_form"), 303)
        response.headers.append("Set-Cookie", session_cookie(request, "", self._access))
        return response

    async def theme(self, request: Request) -> Response:
        """Store the colour theme in a cookie."""
        form = await read_form(request, self._access, has_token=False)
        theme = form.get("theme", [""])[0]
        response = RedirectResponse(path_within(request, form.get("next", ["/"])[0]), 303)
        if theme in THEMES:
            root = request.scope.get("root_path") or "/"
            response.set_cookie(
                THEME_COOKIE, theme, max_age=365 * 24 * 3600, path=root, httponly=True, samesite="strict"
            )
        return response

    async def on_error(self, request: Request, error: Exception) -> Response:
        """Show an error in one line, without the database's own message, see `telemetry_store.errors`."""
        status = error.status_code if isinstance(error, HTTPException) else 503
        line = error.detail if isinstance(error, HTTPException) else f"{str(error)[:1].upper()}{str(error)[1:]}."
        if request.state.by_bearer or request.url.path.endswith(".json"):
            return _json({"error": line}, status)
        return self._page(request, "error", status=status, line=line, dead=0)

    def _page(self, request: Request, template: str, *, status: int = 200, **facts: Any) -> Response:
        session = request.state.session
        return page(
            request,
            template,
            now=self._clock(),
            status=status,
            form_token=self._access.form_token(session),
            logged_in=bool(session) and self._access.needs_token,
            inside=bool(session) or not self._access.needs_token,
            **facts,
        )


def _feature(request: Request) -> str:
    feature = request.query_params.get("feature", "")
    return "" if text_problem(feature) or len(feature) > _LONGEST_FEATURE else feature


def _place(given: str) -> ExportedPlace | None:
    """Parse the position where a page of exported events ends; None if it is invalid."""
    try:
        return ExportedPlace.parse(given)
    except ValueError:
        return None


def _check_id(event_id: str) -> str:
    if not is_event_id(event_id):
        raise HTTPException(404, "This is not a valid event id.")
    return event_id


def _account(counts: QueueCounts) -> Sequence[tuple[str, int, str]]:
    return (
        ("exported", counts.exported + counts.cleaned, "left"),
        ("waiting", counts.pending, "waiting"),
        ("set aside", counts.dead, "dead"),
        ("deleted", counts.dropped, "dropped"),
    )


def _facts(overview: Overview) -> dict[str, Any]:
    def over_time(chart: Any) -> list[dict[str, Any]]:
        return [
            {"span": bar.name, "total": bar.total, "parts": {name: value for name, value, _ in bar.parts}}
            for bar in chart.bars
        ]

    return {
        "events": over_time(overview.events),
        "people": [{"span": bar.name, "people": bar.total} for bar in overview.people.bars],
        "top_features": [{"feature": row.feature, "events": row.events} for row in overview.top_features],
        "top_events": [
            {"feature": row.feature, "action": row.action, "events": row.events} for row in overview.top_events
        ],
        "queue": asdict(overview.counts),
        "export_runs": [asdict(run) for run in overview.runs],
    }


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
