from telemetry import Catalog, CatalogEntry, MetadataKey, MetadataKind
from telemetry_catalog import render_catalog


def test_the_page_contains_the_whole_catalogue() -> None:
    catalog = Catalog(
        [
            CatalogEntry(
                feature="web",
                action="opened",
                owner="web | team",
                description="Opened\nin two lines.",
                metadata={
                    "n": MetadataKey("How many.", MetadataKind.COUNT, required=False),
                    "ms": MetadataKey("Time."),
                },
                private_metadata={"`q`": "Typed.", "*": "The rest."},
                recorded_by="the web app",
                deprecated="Use web.shown.",
            ),
            CatalogEntry(feature="search", action="submit", owner="o", description="d"),
            CatalogEntry(feature="search", action="failed", owner="o", description="d"),
        ]
    )
    page = render_catalog(catalog)
    headings = [line for line in page.splitlines() if line.startswith("##")]
    assert headings == [
        "## `search`",
        "### `search`, `failed`",
        "### `search`, `submit`",
        "## `web`",
        "### `web`, `opened`",
    ]
    assert page.endswith(
        "### `web`, `opened`\n\nOpened in two lines. Owner: web \\| team.\nRecorded by the web app.\n"
        "**Deprecated.** Use web.shown.\n\n"
        "| parameter | kind | meaning |\n| --- | --- | --- |\n"
        "| `n` | count, optional | How many. |\n| `ms` | number | Time. |\n"
        "| `` `q` `` | private | Typed. |\n| any other key | private | The rest. |\n"
    )
