import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    loading = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//|<link(?![^>]*canonical)[^>]*href=[\"']?(?:https?:)?//"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    assert [str(page) for page in pages if loading.search(page.read_text())] == []


@pytest.mark.parametrize(
    "package",
    [
        "telemetry",
        "recorder",
        "export",
        "telemetry_store",
        "telemetry_runtime",
        "telemetry_gateway",
        "telemetry_ingest",
        "telemetry_admin",
        "telemetry_catalog",
    ],
)
def test_the_public_names_of_a_package_are_in_the_reference(site: Path, package: str) -> None:
    page = (site / "reference" / "python" / f"{package}.html").read_text()
    face = (ROOT / "src" / package / "__init__.py").read_text()
    names = re.findall(r'^    "(\w+)",$', face, re.MULTILINE)
    assert names
    assert [name for name in names if f'id="{package}.{name}"' not in page] == []
