"""Counts what no longer stands in the tables, so that an audit can still add everything up.

Recording counts nothing here: a counter is one row that all recorders of an instance would wait
for. What deletes rows counts them, in the transaction that deletes. The sum that the entries
serve stands in the docstring of migration 0002.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, String, Table

from recorder.database import metadata
from recorder.queue_statements import LEDGER

export_ledger = Table(
    LEDGER,
    metadata,
    Column("entry", String(32), primary_key=True),
    Column("events", BigInteger, nullable=False),
)
"""One row an entry; an entry that is missing is 0."""

CLEANED: Final = "cleaned"
"""Exported events whose rows cleanup deleted from the queue."""

CLEANED_UNLOGGED: Final = "cleaned_unlogged"
"""Those of them that were recorded without a row in `event_logs`."""

DROPPED: Final = "dropped"
"""Unexported or dead events that an operator deleted from the queue."""

DROPPED_UNLOGGED: Final = "dropped_unlogged"
"""Those of them that were recorded without a row in `event_logs`."""

EVENT_LOGS_PRUNED: Final = "event_logs_pruned"
"""Rows of `event_logs` marked exportable that were deleted past their retention."""

ADOPTED_EVENT_LOGS: Final = "adopted_event_logs"
"""Rows of `event_logs` marked exportable that were there when counting began."""

ADOPTED_QUEUE: Final = "adopted_queue"
"""Events of the queue, the cleaned ones included, that were there when counting began."""
