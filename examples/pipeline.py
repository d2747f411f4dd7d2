"""The whole pipeline: a gateway, a service that records, an export, and a summary of the result.

    make run

Everything it makes is under run/. It ends by itself, with 1 when anything is not as it must be.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from telemetry_store import Database, ExportQueue, QueueReading, create_database_engine

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "run"
DATABASE = RUN / "telemetry.db"
DATABASE_URL = f"sqlite:///{DATABASE}"
SINK = RUN / "telemetry-events.jsonl"
TELEMETRY = str(Path(sys.executable).with_name("telemetry"))
SECRETS = ("SECRET-QUERY", "SECRET-PROMPT", "SECRET-CAMPAIGN")

console = Console(soft_wrap=True)


def main() -> int:
    """Run the pipeline and return the exit code."""
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TELEMETRY_")},
        "TELEMETRY_DATABASE_URL": DATABASE_URL,
        "TELEMETRY_EXPORT_MODE": "all",
        "TELEMETRY_ALLOWLIST_FILE": str(ROOT / "examples" / "allowlist.toml"),
        "TELEMETRY_CATALOG_FILE": str(ROOT / "examples" / "events.toml"),
        "TELEMETRY_INSTANCE_ID": "example-instance",
    }
    for opt_out in ("DO_NOT_TRACK", "SCARF_NO_ANALYTICS"):  # the example is about export
        environment.pop(opt_out, None)

    console.rule("The tables are made")
    run([TELEMETRY, "db", "upgrade"], environment)
    with gateway(environment) as address:
        console.rule("A service records")
        run([sys.executable, str(ROOT / "examples" / "service.py"), "--database-url", DATABASE_URL], environment)
        queued_bytes = queue_bytes()
        console.rule("What would leave (the first event of the queue)")
        run([TELEMETRY, "export", "preview", "--limit", "1"], environment)
        console.rule("The export job runs once")
        command = [TELEMETRY, "export", "once", "--addr", f"http://{address}", "--json"]
        report = json.loads(subprocess.check_output(command, env=environment))
    return account(report, queued_bytes)


def run(command: Sequence[str], environment: dict[str, str]) -> None:
    """Run a program and show its output."""
    subprocess.run(command, env=environment, check=True)


@contextmanager
def gateway(environment: dict[str, str]) -> Iterator[str]:
    """Run a gateway in a separate process; yield its address."""
    command = [TELEMETRY, "gateway", "serve", "--listen", "127.0.0.1:0", "--sink-file", str(SINK)]
    command += ["--deduplication-file", str(RUN / "gateway.db")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        log = process.stderr or ()
        address = next((found.group(1) for line in log if (found := re.match(r"listening on (\S+)", line))), None)
        if address is None:
            raise SystemExit("the gateway did not start")
        console.rule(f"A gateway listens on {address}")
        yield address
        process.send_signal(signal.SIGTERM)
        process.communicate()


def queue_bytes() -> bytes:
    """Return all payloads in the queue."""
    database = Database(create_database_engine(DATABASE_URL))
    payloads = b"".join(payload for _, payload in QueueReading(database).preview(100_000))
    database.close()
    return payloads


def account(report: dict[str, Any], queued_bytes: bytes) -> int:
    """Print what was recorded, exported and held back; return 1 if anything is wrong."""
    database = Database(create_database_engine(DATABASE_URL))
    with database.engine.connect() as connection:
        counted = connection.execute(text("SELECT name, count(*) FROM event_logs GROUP BY name"))
        by_name = {str(name): int(count) for name, count in counted}
        rows = connection.execute(text("SELECT argument, url FROM event_logs"))
        private = "".join(f"{argument}{url}" for argument, url in rows)
    counts = ExportQueue(database).counts()
    database.close()
    lines = SINK.read_text().splitlines()
    published = [json.loads(line)["message"]["event"] for line in lines]
    by_published: dict[str, int] = {}
    for event in published:
        name = f"{event['feature']}.{event['action']}"
        by_published[name] = by_published.get(name, 0) + 1

    console.rule("Summary")
    events = Table("event", "in event_logs", "published by the gateway", title="Recorded and exported")
    for name in sorted(by_name):
        events.add_row(name, str(by_name[name]), str(by_published.get(name, 0)))
    events.add_section()
    events.add_row("all", str(sum(by_name.values())), str(len(published)))
    console.print(events)

    leaks = Table("secret", "in event_logs", "in the queue", "published", title="Private data stays on the instance")
    for secret in SECRETS:
        in_logs, in_queue = secret in private, secret.encode() in queued_bytes
        leaks.add_row(secret, say(in_logs), say(in_queue), say(secret in "\n".join(lines)))
    console.print(leaks)

    chat = next(event for event in published if event["feature"] == "assistant.chat")
    console.print("Exported private metadata of the only allowlisted event:", chat["parameters"]["privateMetadata"])
    console.print(
        f"Exported {report['acked']} events, {report['bytes']} bytes, in {report['duration']:.2f} s: "
        f"{report['acked'] / report['duration']:,.0f} events a second. "
        f"Queue now: {counts.pending} pending, {counts.exported} exported, {counts.dead} dead."
    )
    faults = {
        "an event was lost or duplicated": by_name != by_published or counts.pending or counts.dead,
        "a rolled back event was stored": by_name.get("shop.order.submit") != 1,
        "an invalid event was stored": by_name.get("editor.suggestion.accepted") != 1,
        "private data was exported": any(s in "\n".join(lines) or s.encode() in queued_bytes for s in SECRETS),
        "private data was lost": not all(secret in private for secret in SECRETS),
        "the allowlist was not followed": chat["parameters"]["privateMetadata"] != {"language": "python"},
    }
    for fault in (fault for fault, found in faults.items() if found):
        console.print(f"FAULT: {fault}", style="bold red")
    if not any(faults.values()):
        console.print("All checks passed. The files are in run/.", style="bold green")
    return int(any(faults.values()))


def say(found: bool) -> str:  # noqa: FBT001 - a word for a yes or no
    """Return yes or no."""
    return "yes" if found else "no"


if __name__ == "__main__":
    sys.exit(main())
