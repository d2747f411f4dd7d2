"""The tables' migrations, run by Alembic; they ship with the package."""

from recorder.migrations.upgrade import upgrade_database

__all__ = ["upgrade_database"]
