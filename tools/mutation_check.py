"""Break each promise in turn, in copies of the code, and check that a test fails.

    make mutations                    # all, two at a time
    make mutations ARGS="retention"   # those whose promise or file contains the word

Exits with 1 if a broken promise is not noticed, or if the code to break is missing or not unique.
"""

import os
import queue
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from mutations.events import EVENTS
from mutations.exporting import EXPORTING
from mutations.ingesting import INGESTING
from mutations.mutation import Mutation
from mutations.pinging import PINGING
from mutations.receiving import RECEIVING
from mutations.recording import RECORDING
from mutations.serving import SERVING

ROOT = Path(__file__).resolve().parent.parent
MUTATIONS = (*EVENTS, *RECORDING, *EXPORTING, *RECEIVING, *INGESTING, *PINGING, *SERVING)
AT_ONCE = 2
_LONGEST_SECONDS = 240
_POSTGRES = "TELEMETRY_TEST_POSTGRES_URL"


def main(words: list[str]) -> int:
    """Check the mutations that contain all of these words; return the exit status."""
    chosen = [each for each in MUTATIONS if all(word in f"{each.promise} {each.file}" for word in words)]
    if misplaced := [each for each in chosen if not is_in_place(each)]:
        for mutation in misplaced:
            print(f"{mutation.file}: expected once, for {mutation.promise!r}: {mutation.right!r}")
        return 1
    unnoticed: list[Mutation] = []
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="telemetry-mutations-") as folder, postgres() as url:
        ignored = shutil.ignore_patterns(".git", ".venv", "run", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
        for number in range(AT_ONCE):
            copies.put(shutil.copytree(ROOT, Path(folder) / f"copy{number}", ignore=ignored))

        def checking(mutation: Mutation) -> tuple[Mutation, str, float]:
            copy = copies.get()
            started = time.monotonic()
            try:
                return mutation, check(copy, mutation, url), time.monotonic() - started
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(AT_ONCE) as threads:
            for done in as_completed([threads.submit(checking, mutation) for mutation in chosen]):
                mutation, verdict, seconds = done.result()
                print(f"{verdict:9} {seconds:5.1f} s  {mutation.promise} ({mutation.file})", flush=True)
                if verdict != "noticed":
                    unnoticed.append(mutation)
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} broken promises are noticed")
    return 1 if unnoticed else 0


def is_in_place(mutation: Mutation) -> bool:
    """Return whether the code to break is in the file exactly once."""
    return (ROOT / "src" / mutation.file).read_text(encoding="utf-8").count(mutation.right) == 1


def check(copy: Path, mutation: Mutation, postgres_url: str) -> str:
    """Return `noticed` if a test fails on the mutation, `UNNOTICED` if all pass, and `ERROR` if they cannot run."""
    file = copy / "src" / mutation.file
    right = file.read_text(encoding="utf-8")
    file.write_text(right.replace(mutation.right, mutation.wrong), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout=60"]
    # Import the copy's code, not the installed one.
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), _POSTGRES: postgres_url}
    try:
        done = subprocess.run(
            [*command, *shlex.split(mutation.tests)],
            cwd=copy,
            env=environment,
            capture_output=True,
            timeout=_LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "noticed"  # a test that hangs has not passed
    finally:
        file.write_text(right, encoding="utf-8")
    # 1: tests failed; 0: all passed; anything else (no tests, a failed import) shows nothing.
    return {1: "noticed", 0: "UNNOTICED"}.get(done.returncode, f"ERROR {done.returncode}")


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the URL of one server for all checks: TELEMETRY_TEST_POSTGRES_URL, or a server started from the wheel."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.databases import postgres_server  # noqa: PLC0415 - the path is set just above

    with postgres_server() as url:
        yield url


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
