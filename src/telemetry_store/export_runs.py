"""The reports of the latest export passes, in the database, so that operators can read them from any process."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    Select,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from telemetry_store.column_types import UtcDateTime
from telemetry_store.database import Database
from telemetry_store.pass_report import PassReport
from telemetry_store.tables import metadata

export_runs = Table(
    "telemetry_export_runs",
    metadata,
    Column("request_id", String(36), primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("passes", BigInteger, nullable=False),
    Column("duration", Float, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("problem", Text),
    Column("leased", Integer, nullable=False),
    Column("streams", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("acked", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("dead", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("remaining", BigInteger),
    Column("bytes", BigInteger, nullable=False),
    Index("telemetry_export_runs_last_at", "last_at"),
)

KEPT_RUNS: Final = 1_000
"""How many of the latest rows cleanup keeps."""

_LONGEST_PROBLEM: Final = 1_000
_OF_THE_LATEST: Final = ("last_at", "duration", "remaining")


class ExportRuns:
    """The table of export passes. Safe for concurrent use by threads and processes.

    Args:
        database: Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: PassReport) -> None:
        """Add the report of a pass.

        A pass that leased nothing and ended as the latest one did is counted in the latest row. So an exporter that
        finds no events every few seconds, or no gateway all night, does not push out more useful reports.

        Raises:
            RecorderError: The database failed.
        """
        values = {**asdict(run), "outcome": str(run.outcome)}
        if run.problem is not None:
            values["problem"] = run.problem[:_LONGEST_PROBLEM]

        def adding(connection: Connection) -> None:
            if run.leased == 0 and _count_again(connection, values):
                return
            connection.execute(insert(export_runs).values(values))

        self._database.write(adding)

    def latest(self, limit: int) -> list[PassReport]:
        """Return at most `limit` passes, the latest first.

        Raises:
            RecorderError: The database failed.
        """
        statement = _latest_first(select(export_runs)).limit(limit)
        rows = self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return [PassReport(**row) for row in rows]

    def prune(self, keep: int = KEPT_RUNS) -> int:
        """Delete all reports except the latest `keep`; return how many were deleted.

        Raises:
            RecorderError: The database failed.
        """
        kept = _latest_first(select(export_runs.c.request_id)).limit(keep)
        statement = delete(export_runs).where(export_runs.c.request_id.not_in(kept))
        return self._database.write(lambda connection: connection.execute(statement).rowcount)


def _latest_first(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(export_runs.c.last_at.desc(), export_runs.c.request_id.desc())


def _count_again(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Count a pass in the latest row if that ended in the same way; return whether it was counted."""
    runs = export_runs.c
    latest = _latest_first(select(runs.request_id)).limit(1).scalar_subquery()
    statement = (
        update(export_runs)
        .where(runs.request_id == latest, runs.leased == 0, runs.outcome == values["outcome"])
        .where(runs.problem.is_not_distinct_from(values["problem"]))
        .values({name: values[name] for name in _OF_THE_LATEST} | {"passes": runs.passes + 1})
    )
    return connection.execute(statement).rowcount > 0
