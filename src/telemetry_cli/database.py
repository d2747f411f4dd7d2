"""`telemetry db`: the tables."""

import typer

from recorder.database import create_database_engine
from recorder.migrations import upgrade_database
from recorder.settings import RecorderSettings
from telemetry_cli.masking import masked_url
from telemetry_cli.options import AsJson, DatabaseUrl
from telemetry_cli.output import out, print_json

app = typer.Typer(help="Make and migrate the tables.", no_args_is_help=True)


@app.callback()
def callback() -> None:
    """Make and migrate the tables."""


@app.command()
def upgrade(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """Make the tables, or bring them to the version that this program needs.

    Tables of the original system are adopted with their rows. Run it before the first service
    starts, and after each upgrade of this package. Doing it twice changes nothing.
    """
    settings = RecorderSettings.load(database_url=database_url)
    engine = create_database_engine(settings.database_url)
    try:
        version = upgrade_database(engine)
    finally:
        engine.dispose()
    url = masked_url(engine.url.render_as_string(hide_password=False))
    if as_json:
        print_json({"database": url, "version": version})
    else:
        out.print(f"{url} is at version {version}", highlight=False, soft_wrap=True)
