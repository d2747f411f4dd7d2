"""Everything that differs between databases: one file for each database, behind one Protocol."""

from telemetry_store.dialects.dialect import DatabaseDialect, DatabaseReport, Insertion
from telemetry_store.dialects.lookup import DIALECTS, dialect_of, dialect_of_url, with_variants

__all__ = [
    "DIALECTS",
    "DatabaseDialect",
    "DatabaseReport",
    "Insertion",
    "dialect_of",
    "dialect_of_url",
    "with_variants",
]
