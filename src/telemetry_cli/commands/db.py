"""`telemetry db`: create, migrate and check the tables."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from recorder.settings import RecorderSettings
from telemetry_cli.masking import masked_url
from telemetry_cli.options import AsJson, DatabaseUrl
from telemetry_cli.output import err, out, print_facts, print_json, print_json_lines, print_rows
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.schema_version import SCHEMA_VERSION, oldest_code, schema_version

app = typer.Typer(help="Create and migrate the tables.", no_args_is_help=True)


@app.callback()
def callback() -> None:
    """Create and migrate the tables."""


@contextmanager
def _opened(database_url: str | None) -> Generator[tuple[Database, str]]:
    settings = RecorderSettings.load(database_url=database_url)
    database = Database(create_database_engine(settings.database_url))
    try:
        yield database, masked_url(settings.database_url)
    finally:
        database.close()


@app.command()
def upgrade(
    database_url: DatabaseUrl = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to retry locking a table that other transactions hold.")
    ] = 600,
    as_json: AsJson = False,
) -> None:
    """Create the tables, or migrate them to the version that this program needs.

    Services may record meanwhile, on PostgreSQL without waiting. Tables of the original system are
    adopted with their rows. Run it before the first service starts, and after each upgrade of this
    package. Running it again changes nothing; after an interruption, it continues.
    """
    # Loading Alembic takes a fifth of the time of loading the command line, and no other command needs it.
    from telemetry_store.migrations import upgrade_database  # noqa: PLC0415 - see above

    with _opened(database_url) as (database, url):
        version = upgrade_database(database.engine, patience=timedelta(seconds=patience), notify=_print_progress)
    if as_json:
        print_json({"database": url, "version": version})
    else:
        out.print(f"{url} is at version {version}", highlight=False, soft_wrap=True)


@app.command()
def current(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Print the version of the tables, the version that this program needs, and the oldest that works with them."""
    with _opened(database_url) as (database, url):
        version, oldest = schema_version(database), oldest_code(database)
    facts = {"database": url, "version": version, "needed": SCHEMA_VERSION, "oldest_code": oldest}
    if as_json:
        print_json(facts)
    else:
        print_facts("Tables", {name.replace("_", " "): value for name, value in facts.items()})


@app.command()
def check(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Check that tables, columns and indexes are as this program needs them; ends with 1 if they are not.

    With --json, prints a line for each problem.
    """
    from telemetry_store.migrations import find_schema_faults  # noqa: PLC0415 - as in `upgrade`

    with _opened(database_url) as (database, url):
        faults = find_schema_faults(database)
    if as_json:
        print_json_lines(asdict(fault) for fault in faults)
    elif faults:
        print_rows(url, ("place", "problem"), ((fault.place, fault.problem) for fault in faults))
    else:
        out.print(f"{url} matches version {SCHEMA_VERSION} of the code", highlight=False, soft_wrap=True)
    if faults:
        raise typer.Exit(1)


def _print_progress(text: str) -> None:
    """Print a step of the upgrade, in a terminal only."""
    if err.is_terminal:
        err.print(text, highlight=False, soft_wrap=True)
