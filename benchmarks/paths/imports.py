"""Importing `recorder` in a service, compared with importing only SQLAlchemy, protobuf and orjson."""

import subprocess
import sys
from collections.abc import Callable, Iterator

from measure import Comparison, interleave
from stores import Stores

CODE = "import time; started = time.perf_counter(); {}; print(time.perf_counter() - started)"
CASES = {
    "ours": "import recorder",
    "floor": "import sqlalchemy, google.protobuf.struct_pb2, google.protobuf.timestamp_pb2, orjson",
}


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    def case(code: str) -> Callable[[], float]:
        return lambda: float(
            subprocess.run([sys.executable, "-c", CODE.format(code)], stdout=subprocess.PIPE, check=True).stdout
        )

    figures = interleave({name: case(code) for name, code in CASES.items()}, 15 if full else 7)
    yield Comparison("import recorder", "s", figures, 1.15)
