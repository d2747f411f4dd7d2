"""The content of the pages."""

import html
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from support.admin import TOKEN, admin_client, form_token, text_of
from support.databases import ManualClock
from support.events import CANARY, sensitive_event
from support.recorders import make_recorder
from telemetry import Allowlist, AllowlistEntry, EventParameters, NewEvent, event_context
from telemetry_admin.pages import SHOWN
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.event_logs import event_logs
from telemetry_store.export_queue import ExportQueue, export_queue
from telemetry_store.export_runs import ExportRuns
from telemetry_store.pass_report import PassReport

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


def log_row(clock: ManualClock, name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "url": "", "user_id": 0, "anonymous_user_id": "somebody", "source": "BACKEND", "version": "1",
        "argument": {"secret": CANARY}, "timestamp": clock() - timedelta(minutes=5), **more,
    }  # fmt: skip


@pytest.fixture
def dead_ids(database: Database, clock: ManualClock, queue: ExportQueue) -> list[str]:
    """Three dead letters, the first with a hostile reason."""
    ids = make_recorder(database).batch_record([NewEvent("search.results", "submit", timestamp=clock())] * 3)
    reasons = [f"rejected: {HOSTILE}", "not-acknowledged: 5 times", "rejected: too large"]
    queue.set_aside(queue.lease(3, timedelta(minutes=1)), dict(zip(ids, reasons, strict=True)))
    return ids


def test_an_empty_instance_explains_why(database: Database) -> None:
    client = admin_client(database)

    page = text_of(client.get("/").text)

    assert "Nothing is exported: TELEMETRY_EXPORT_MODE is none (set it to all, or to feature prefixes)." in page
    assert "No events in this range" in page
    assert "No active people in this range." in page
    assert "Nothing has been queued yet, because TELEMETRY_EXPORT_MODE is none" in page
    assert "No export has run yet" in page
    assert "No event has been set aside." in text_of(client.get("/dead-letters").text)
    assert "Nothing is exported, because TELEMETRY_EXPORT_MODE is none" in text_of(client.get("/left").text)
    assert "The allowlist is empty, so no private metadata is exported." in text_of(client.get("/allowlist").text)


def test_no_obstacle_is_shown_while_export_is_on(database: Database) -> None:
    page = text_of(admin_client(database, export_mode="all").get("/").text)

    assert "Nothing is exported" not in page
    assert "export mode: all" in page


def test_the_overview_counts_events_people_and_the_queue(database: Database, clock: ManualClock) -> None:
    recorder = make_recorder(database)
    moments = [clock() - timedelta(hours=hours) for hours in (1, 2, 30, 24 * 20, 24 * 60)]
    for user, moment in enumerate(moments, start=1):
        with event_context(user_id=user):
            recorder.record("search.results", "submit", timestamp=moment)
    with event_context(anonymous_user_id="x"):
        recorder.record("auth", "login", timestamp=clock())

    client = admin_client(database, clock=clock)

    for key, events in (("24h", 3), ("7d", 4), ("30d", 5), ("90d", 6)):
        found = client.get(f"/overview.json?range={key}").json()
        assert sum(span["total"] for span in found["events"]) == events
        assert found["queue"]["pending"] == 6
    ninety = client.get("/overview.json?range=90d").json()
    assert ninety["top_features"] == [{"feature": "search.results", "events": 5}, {"feature": "auth", "events": 1}]
    assert ninety["people"][-1] == {"span": "Sun 01 Mar 2026", "people": 3}
    page = text_of(client.get("/?range=90d").text)
    assert "Events 6 in 90 days" in page
    assert "Waiting for export 6 the oldest 60 d ago" in page


def test_a_chosen_feature_shows_its_actions(database: Database, clock: ManualClock) -> None:
    recorder = make_recorder(database)
    for feature, action in (("search.results", "submit"), ("search.filters", "open"), ("auth", "login")):
        recorder.record(feature, action, timestamp=clock())
    client = admin_client(database, clock=clock)

    page = client.get("/?feature=search").text
    found = client.get("/overview.json?feature=search").json()

    assert '<option value="search" selected>search</option>' in page
    assert found["events"][-1]["parts"] == {"filters.open": 1, "results.submit": 1}
    assert found["feature"] == "search"
    assert [row["feature"] for row in found["top_events"]] == ["search.filters", "search.results"]


@pytest.mark.parametrize("query", ["range=1y", "range=", "feature=%00", "feature=" + "x" * 600, "range=7d&range=90d"])
def test_invalid_query_parameters_are_ignored(database: Database, query: str) -> None:
    assert admin_client(database).get(f"/?{query}").status_code == 200


def test_a_feature_without_events_is_shown_as_empty(database: Database) -> None:
    page = admin_client(database).get("/?feature=never.recorded").text

    assert "No events in this range of never.recorded." in text_of(page)


def test_markup_in_rows_is_escaped(database: Database, clock: ManualClock) -> None:
    names = [HOSTILE, f"{HOSTILE}.{HOSTILE}", "{{ 7 * 7 }}.{% raw %}", "a.b"]
    rows = [log_row(clock, name, source=HOSTILE, client=HOSTILE, user_id=place) for place, name in enumerate(names, 1)]
    database.write(lambda connection: connection.execute(insert(event_logs), rows))
    client = admin_client(database, clock=clock)

    for path in ("/", "/?range=24h", f"/?feature={HOSTILE}", f"/?feature={HOSTILE}&range=90d"):
        page = client.get(path).text
        assert "<script" not in page
        assert "<img" not in page
        assert "onerror=alert(2)&gt;" in page
    assert "{{ 7 * 7 }}" in client.get("/").text
    assert "49" not in text_of(client.get("/").text)


def test_no_page_shows_a_value_of_private_metadata(database: Database, clock: ManualClock, queue: ExportQueue) -> None:
    recorder = make_recorder(database)
    private = EventParameters(private_metadata={"query": CANARY})
    left, waiting, dead = (recorder.record("search.results", "submit", private, timestamp=clock()) for _ in range(3))
    # Unredacted payloads, as in an adopted queue.
    event = sensitive_event(query=CANARY)
    database.write(lambda c: c.execute(update(export_queue).values(payload_pb=event.SerializeToString())))
    queue.mark_exported([left])
    queue.set_aside(queue.lease(2, timedelta(minutes=1)), {dead: "rejected: no"})
    client = admin_client(database, clock=clock, export_mode="all")

    pages = [
        "/",
        "/overview.json",
        "/dead-letters",
        "/left",
        "/allowlist",
        *(f"/events/{one}" for one in (left, waiting, dead)),
    ]
    for path in pages:
        answer = client.get(path)
        assert answer.status_code == 200
        assert CANARY not in answer.text, path


def test_a_dead_letter_is_requeued_by_its_button(database: Database, dead_ids: list[str], queue: ExportQueue) -> None:
    client = admin_client(database)
    page = client.get("/dead-letters").text
    assert "3, newest first" in text_of(page)
    assert "search.results submit" in text_of(page)
    assert "<script>alert" not in page

    form = {"form_token": form_token(page), "shown": dead_ids, "id": dead_ids[1:], "one": dead_ids[0]}
    answer = client.post("/dead-letters/requeue", data=form)

    assert "1 requeued. They will be sent again" in text_of(answer.text)
    assert queue.counts().dead == 2


@pytest.mark.parametrize(("button", "requeued"), [({}, 2), ({"all": "shown"}, 3)])
def test_chosen_dead_letters_or_all_are_requeued(
    database: Database, dead_ids: list[str], button: dict[str, str], requeued: int
) -> None:
    client = admin_client(database)
    form = {"form_token": form_token(client.get("/dead-letters").text), "shown": dead_ids, "id": dead_ids[1:], **button}

    answer = client.post("/dead-letters/requeue", data=form)

    assert f"{requeued} requeued." in text_of(answer.text)


def test_requeueing_twice_or_nothing_requeues_none(database: Database, dead_ids: list[str]) -> None:
    client = admin_client(database)
    form = {"form_token": form_token(client.get("/dead-letters").text), "one": dead_ids[0]}
    client.post("/dead-letters/requeue", data=form)

    assert "0 requeued." in text_of(client.post("/dead-letters/requeue", data=form).text)
    assert "0 requeued." in text_of(client.post("/dead-letters/requeue", data={**form, "one": []}).text)
    assert client.post("/dead-letters/requeue", data={**form, "one": "{x}"}).status_code == 404


@pytest.mark.parametrize("given", ["x", "-1", "1e9", "99999999999999999999", HOSTILE, "٣"])
def test_an_invalid_requeued_parameter_is_not_shown(database: Database, given: str) -> None:
    answer = admin_client(database).get("/dead-letters", params={"requeued": given})

    assert answer.status_code == 200
    assert "<script>" not in answer.text


def test_exported_events_are_shown_with_what_is_held_back(
    database: Database, clock: ManualClock, queue: ExportQueue, tmp_path: Path
) -> None:
    file = tmp_path / "allowlist.toml"
    file.write_text(
        '[[event]]\nfeature = "search.results"\naction = "submit"\nkeys = { language = "To rank languages" }\n'
        'approved_by = "privacy@example.com"\napproved_on = 2026-01-31\n'
    )
    allowed = Allowlist(
        [AllowlistEntry("search.results", "submit", {"language": "x", "query": "y"}, "me", date(2026, 1, 1))]
    )
    recorder = make_recorder(database, allowlist=allowed)
    parameters = EventParameters(metadata={"durationMs": 41.5}, private_metadata={"language": "go", "query": CANARY})
    event_id = recorder.record("search.results", "submit", parameters, timestamp=clock())
    queue.mark_exported([event_id])
    client = admin_client(database, clock=clock, export_mode="all", allowlist_file=file)

    assert f'href="/events/{event_id}"' in client.get("/left").text
    page = client.get(f"/events/{event_id}").text
    text = text_of(page)

    assert "1 part is held back by the current rules" in text
    assert 'language "&#34;go&#34;' in text or "language &#34;go&#34;" in text
    assert "query held back the allowlist allows only language" in text
    assert "marketing_tracking never exported this field is sensitive" in text
    assert "durationMs 41.5" in text
    assert CANARY not in page


def test_an_event_that_cannot_be_read_is_not_shown(database: Database, queue: ExportQueue) -> None:
    event_id = make_recorder(database).record("search.results", "submit")
    database.write(lambda c: c.execute(update(export_queue).values(payload_pb=b"\xff\xff")))
    queue.mark_exported([event_id])
    client = admin_client(database)

    assert "its payload is not a valid event." in text_of(client.get(f"/events/{event_id}").text)
    assert "unreadable" in text_of(client.get("/left").text)


@pytest.mark.parametrize(
    "event_id",
    [
        "0190a5c0-0000-7000-8000-000000000000",
        "0190A5C0-0000-7000-8000-000000000000",
        "x",
        "'; DROP TABLE event_logs; --",
        "{1,2}",
    ],
)
def test_an_unknown_event_id_is_not_found(database: Database, event_id: str) -> None:
    answer = admin_client(database).get(f"/events/{event_id}")

    assert answer.status_code == 404
    assert "This page cannot be shown" in answer.text


def test_exported_events_that_were_cleaned_up_are_counted(
    database: Database, queue: ExportQueue, clock: ManualClock
) -> None:
    queue.mark_exported([make_recorder(database).record("search.results", "submit")])
    queue.prune_exported(clock() + timedelta(days=1), 10)

    page = text_of(admin_client(database, export_mode="all").get("/left").text)

    assert "1 event was exported, and has been deleted from the queue since." in page


def test_export_runs_are_listed_with_what_went_wrong(database: Database, clock: ManualClock) -> None:
    runs = ExportRuns(database)
    ended = clock() - timedelta(minutes=10)
    runs.add(
        PassReport(
            request_id="1", started_at=ended - timedelta(seconds=3), last_at=ended, outcome="outage", problem=HOSTILE,
            leased=5, sent=5, acked=3, remaining=2, bytes=1_200_000, duration=3.2,
        )
    )  # fmt: skip

    page = admin_client(database, clock=clock).get("/").text

    assert "<script>alert" not in page
    assert "10 min ago outage" in text_of(page)
    assert "5 3 0 0 2 1.2 MB 3 s" in text_of(page)


def test_the_allowlist_is_shown_with_reasons_and_expiry(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    file = tmp_path / "allowlist.toml"
    file.write_text(
        '[[event]]\nfeature = "search.results"\nkeys = { language = "To <b>rank</b> languages" }\n'
        'approved_by = "privacy@example.com"\napproved_on = 2020-01-31\nexpires_on = 2021-01-31\n'
    )
    client = admin_client(database, allowlist_file=file)

    page = client.get("/allowlist").text

    assert "To &lt;b&gt;rank&lt;/b&gt; languages" in page
    assert "search.results all actions" in text_of(page)
    assert "expired 2021-01-31" in text_of(page)
    file.write_text("[[event")
    answer = client.get("/allowlist")
    assert answer.status_code == 503
    assert "is not valid TOML" in text_of(answer.text)
    file.unlink()
    answer = client.get("/allowlist")
    assert answer.status_code == 503
    assert "so exporters send nothing: the allowlist file" in text_of(answer.text)
    assert "cannot be read: No such file or directory" in text_of(answer.text)


def test_a_first_party_instance_shows_a_notice(database: Database) -> None:
    page = admin_client(database, first_party_instance=True).get("/allowlist").text

    assert "This is a first-party instance" in text_of(page)


def test_the_chosen_colours_are_kept(database: Database) -> None:
    client = admin_client(database)
    assert "data-theme" not in client.get("/").text

    answer = client.post("/theme", data={"theme": "dark", "next": "/left?x=1"})

    assert str(answer.url).endswith("/left?x=1")
    assert '<html lang="en" data-theme="dark">' in client.get("/").text
    client.post("/theme", data={"theme": "pink"})
    assert 'data-theme="dark"' in client.get("/").text
    client.post("/theme", data={"theme": "auto"})
    assert "data-theme" not in client.get("/").text


def test_only_the_login_form_is_shown_before_login(database: Database) -> None:
    page = admin_client(database, token=TOKEN).get("/").text

    assert re.findall(r'<form[^>]* action="([^"]*)"', page) == ["/login"]


@pytest.mark.parametrize("path", ["/", "/dead-letters", "/left", "/allowlist", "/overview.json"])
def test_an_unusable_database_is_reported_in_one_line(tmp_path: Path, path: str) -> None:
    database = Database(create_database_engine(f"sqlite:///{tmp_path / 'nowhere' / 'telemetry.db'}"))

    answer = admin_client(database).get(path)

    assert answer.status_code == 503
    line = "There is no such database file; correct TELEMETRY_DATABASE_URL, or run: telemetry db upgrade."
    if path.endswith(".json"):
        assert answer.json() == {"error": line}
    else:
        assert text_of(answer.text).startswith(f'id="main" tabindex="-1"> This page cannot be shown {line}')
    database.close()


def test_missing_tables_name_the_command_that_creates_them(empty_url: str) -> None:
    database = Database(create_database_engine(empty_url))

    answer = admin_client(database).get("/")

    assert answer.status_code == 503
    assert "telemetry db upgrade" in answer.text
    database.close()


def test_many_exported_events_are_shown_a_page_at_a_time(
    database: Database, queue: ExportQueue, clock: ManualClock
) -> None:
    ids = make_recorder(database).batch_record([NewEvent("search.results", "submit")] * (2 * SHOWN + 3))
    for event_id in ids:
        clock.advance(seconds=1)
        queue.mark_exported([event_id])
    client = admin_client(database, clock=clock)
    path, seen = "/left", []

    while path:
        page = client.get(path).text
        seen += re.findall(r'href="/events/([0-9a-f-]+)"', page)
        older = re.search(r'href="(\?after=[^"]+)" rel="next"', page)
        path = f"/left{html.unescape(older.group(1))}" if older else ""

    assert seen == ids[::-1]
    assert "103, newest first; 50 of them on this page" in text_of(client.get("/left").text)
    assert "There are no older events." in text_of(client.get(f"/left?after=2020-01-01T00:00:00%2B00:00,{ids[0]}").text)


@pytest.mark.parametrize(
    "after", ["x", ",", "2020-01-01,x", "0001-01-01T00:00:00%2B14:00,0190a5c0-0000-7000-8000-000000000000"]
)
def test_an_invalid_position_shows_the_newest_events(database: Database, after: str) -> None:
    assert admin_client(database).get(f"/left?after={after}").status_code == 200
