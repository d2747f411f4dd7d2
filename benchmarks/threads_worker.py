"""Records from many threads for a while and prints the rate, the p99 and the fairness as JSON.

python threads_worker.py ours|floor DATABASE_URL THREADS SECONDS
"""

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from paths.single import core_writer, raw_writer
from sqlalchemy import create_engine, make_url
from stores import PARAMETERS, Rows, recorder_on, usual_context

ROWS_READY = 40_000


def ours(url: str) -> Callable[[], Callable[[], None]]:
    recorder = recorder_on(url)

    def one() -> None:
        recorder.record("search.results", "submit", PARAMETERS)

    return lambda: one


def floor(url: str) -> Callable[[], Callable[[], None]]:
    """SQLite: the raw driver with a connection per thread. PostgreSQL: SQLAlchemy Core with its pool."""
    rows = Rows(url)
    if make_url(url).get_backend_name() == "sqlite":
        ready = deque(rows.make(ROWS_READY))

        def raw() -> Callable[[], None]:
            write = raw_writer("sqlite", url)
            return lambda: write(ready.popleft())

        return raw
    write = core_writer(create_engine(url))
    core_ready = deque(rows.for_core(row) for row in rows.make(ROWS_READY))
    return lambda: lambda: write(core_ready.popleft())


def measure(make: Callable[[], Callable[[], None]], threads: int, seconds: float) -> dict[str, float]:
    took: list[list[float]] = [[] for _ in range(threads)]
    begin = threading.Barrier(threads + 1)
    over = threading.Event()

    def run(mine: list[float]) -> None:
        call = make()
        with usual_context():
            call()
            begin.wait()
            while not over.is_set():
                started = time.perf_counter()
                call()
                mine.append(time.perf_counter() - started)

    running = [threading.Thread(target=run, args=(mine,), daemon=True) for mine in took]
    for thread in running:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    time.sleep(seconds)
    over.set()
    for thread in running:
        thread.join()
    elapsed = time.perf_counter() - started
    every = sorted(each for mine in took for each in mine)
    counts = sorted(len(mine) for mine in took)
    return {
        "rate": len(every) / elapsed,
        "p99": every[int(len(every) * 0.99)],
        "fairness": counts[-1] / max(1, counts[0]),
    }


if __name__ == "__main__":
    how, url, threads, seconds = sys.argv[1:]
    makers: dict[str, Any] = {"ours": ours, "floor": floor}
    print(json.dumps(measure(makers[how](url), int(threads), float(seconds))))
