"""The settings of the database, from the environment."""

from pydantic import Field

from telemetry_runtime.privacy_settings import PrivacySettings

DEFAULT_DATABASE_URL = "sqlite:///telemetry.db"


class DatabaseSettings(PrivacySettings):
    """The settings of privacy and of the database: base of the settings of each program that uses the database."""

    database_url: str = Field(
        default=DEFAULT_DATABASE_URL,
        validation_alias="TELEMETRY_DATABASE_URL",
        repr=False,  # it may hold a password
        description="A SQLAlchemy URL, for SQLite or PostgreSQL.",
    )
