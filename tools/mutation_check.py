"""Breaks each promise in turn, in a copy of the code, and shows that some test notices.

    make mutations

Ends with 1 when a break goes unnoticed, or when the code to break is not where it was.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutation:
    """A broken promise.

    Attributes:
        promise: What holds no more.
        file: Where.
        right: The code that keeps it.
        wrong: What stands there instead.
        tests: Where it should be noticed.
    """

    promise: str
    file: str
    right: str
    wrong: str
    tests: str


# ruff: noqa: E501, Q003 - code as it stands elsewhere
MUTATIONS = (
    Mutation(
        "a name ends where the rule ends",
        "src/telemetry/names.py", "_NAME.fullmatch(name)", "_NAME.match(name)", "tests/unit/telemetry/test_names.py",
    ),
    Mutation(
        "an id is a UUID of version 7, whole",
        "src/telemetry/event.py", "_UUID7.fullmatch(event_id)", "_UUID7.match(event_id)",
        "tests/unit/telemetry/test_event.py",
    ),
    Mutation(
        "marketing data is stripped",
        "src/telemetry/redaction.py", "holder.ClearField(name)", "pass", "tests/unit/telemetry/test_redaction.py",
    ),
    Mutation(
        "what was redacted is checked",
        "src/telemetry/redaction.py", "            self._assert_redacted(event, entry)\n", "",
        "tests/unit/telemetry/test_redaction.py",
    ),
    Mutation(
        "the queue's copy is redacted",
        "src/recorder/tee.py", "        self._redactor.redact(queued)\n", "", "tests/integration/recorder",
    ),
    Mutation(
        "an event is redacted before it is sent",
        "src/export/chunks.py", "                self._redactor.redact(event)\n", "",
        "tests/integration/export/test_privacy.py",
    ),
    Mutation(
        "a commit on SQLite is synced",
        "src/recorder/database.py", "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL", "tests/faults/power",
    ),
    Mutation(
        "both rows are one transaction",
        "src/recorder/held_connection.py", 'driver.execute("BEGIN IMMEDIATE")', "pass", "tests/faults/recorder",
    ),
    Mutation(
        "a caller's transaction is undone as far as the event went",
        "src/recorder/tee.py", "with savepoint(connection):", "if True:",
        "tests/integration/recorder/test_transactions.py",
    ),
    Mutation(
        "a row that fails fails alone",
        "src/recorder/group_commit.py", "caller.finish(self._write_alone(caller.rows) if failed else None)",
        "caller.finish(None)", "tests/unit/recorder/test_group_commit.py",
    ),
    Mutation(
        "a fork waits for SQLite's transaction",
        "src/recorder/held_connection.py",
        "        if self._is_sqlite:\n            self._lock.acquire()\n", "        self._lock = threading.Lock()\n        self._lock.acquire()\n",
        "tests/faults/recorder/test_database_faults.py",
    ),
    Mutation(
        "only its holder gives a lease back",
        "src/recorder/export_queue.py", "WHERE id {ids} AND lease = {lease} AND exported_at IS NULL\n    \"\"\",\n    \"fail\"",
        "WHERE id {ids} AND exported_at IS NULL\n    \"\"\",\n    \"fail\"", "tests/integration/recorder/test_export_queue.py",
    ),
    Mutation(
        "an unexported row is never cleaned up",
        "src/recorder/export_queue.py", "WHERE exported_at IS NOT NULL AND exported_at < {before}",
        "WHERE timestamp < {before}", "tests/integration/export/test_jobs.py",
    ),
    Mutation(
        "only what was sent can be acknowledged",
        "src/export/delivery.py", "if event_id in sent and event_id not in acknowledged", "if event_id not in acknowledged",
        "tests/integration/export/test_pass.py",
    ),
    Mutation(
        "a rejection wins over an acknowledgement",
        "src/export/delivery.py", "if event_id in delivery.rejected:", "if False:",
        "tests/integration/export/test_pass.py",
    ),
    Mutation(
        "consent is asked before anything is sent",
        "src/export/exporter.py", "if obstacle := self._policy.obstacle:", "if obstacle := None:",
        "tests/integration/export/test_privacy.py",
    ),
    Mutation(
        "a token never travels in plain text",
        "src/export/gateway_client.py", "if tokens is not None and channel_credentials is None:", "if False:",
        "tests/integration/export/test_credentials.py",
    ),
    Mutation(
        "what a gateway echoes is masked",
        "src/export/gateway_client.py", 'text = text.replace(secret, "***")', "pass", "tests/integration/export",
    ),
    Mutation(
        "an id is acknowledged when the sink is synced",
        "src/gateway/sinks/jsonl.py", "sync: Callable[[int], None] = os.fsync", "sync: Callable[[int], None] = lambda _: None",
        "tests/faults/power",
    ),
    Mutation(
        "a message is published before it is remembered",
        "src/gateway/publishing.py",
        "        self._sink.publish(list(by_key.values()))\n        self._metrics.published.inc(len(by_key))\n        try:\n            self._remember(by_key)\n",
        "        try:\n            self._remember(by_key)\n            self._sink.publish(list(by_key.values()))\n",
        "tests/integration/gateway/test_faults.py",
    ),
    Mutation(
        "a JWT needs the scope",
        "src/gateway/jwts.py", "        check_scope(claims)\n", "", "tests/integration/gateway/test_tokens.py",
    ),
    Mutation(
        "a form from another origin is refused",
        "src/admin/gate.py", "return bool(origin) and urlsplit(origin).netloc == request.headers.get(\"host\", \"\")", "return True",
        "tests/integration/admin/test_access.py",
    ),
    Mutation(
        "a form must hold what its session was given",
        "src/admin/forms.py", "if has_token and not request.state.by_bearer and", "if False and", "tests/integration/admin/test_access.py",
    ),
    Mutation(
        "a name that leads here is not enough to be let in",
        "src/admin/gate.py", "        if not self._host_is_known(request):\n", "        if False:\n", "tests/integration/admin/test_access.py",
    ),
    Mutation(
        "a session ends",
        "src/admin/access.py", "return self._clock() < expires", "return True", "tests/unit/admin/test_access.py",
    ),
    Mutation(
        "a page shows what a row holds as text",
        "src/admin/rendering.py", "autoescape=True", "autoescape=False", "tests/integration/admin/test_pages.py",
    ),
)  # fmt: skip


def main() -> int:
    """Checks every mutation; returns the exit code."""
    unnoticed = []
    with tempfile.TemporaryDirectory(prefix="telemetry-mutations-") as folder:
        copy = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv", "run", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
        shutil.copytree(ROOT, copy, ignore=ignored)
        for mutation in MUTATIONS:
            started = time.monotonic()
            noticed = check(copy, mutation)
            print(
                f"{'noticed' if noticed else 'UNNOTICED':9} {time.monotonic() - started:5.1f} s  {mutation.promise}",
                flush=True,
            )
            if not noticed:
                unnoticed.append(mutation)
    print(f"{len(MUTATIONS) - len(unnoticed)} of {len(MUTATIONS)} broken promises are noticed")
    return 1 if unnoticed else 0


def check(copy: Path, mutation: Mutation) -> bool:
    """Returns whether a test fails on the mutation."""
    file = copy / mutation.file
    right = file.read_text(encoding="utf-8")
    if right.count(mutation.right) != 1:
        raise SystemExit(f"{mutation.file}: expected once: {mutation.right!r}")
    file.write_text(right.replace(mutation.right, mutation.wrong), encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout=60", mutation.tests],
            cwd=copy,
            # The copy's code, not the one that is installed.
            env={**os.environ, "PYTHONPATH": str(copy / "src")},
            capture_output=True,
            check=False,
        )
    finally:
        file.write_text(right, encoding="utf-8")
    return done.returncode == 1  # 1: tests failed; anything else is no finding


if __name__ == "__main__":
    sys.exit(main())
