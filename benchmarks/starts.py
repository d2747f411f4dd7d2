"""How long imports and short commands take, as ratios: python benchmarks/starts.py [REPEATS]

Processor time of whole processes, the fastest of several, interleaved: it depends less on what else the machine does
than elapsed time. Compile the bytecode first, as an installation does: run it twice.
"""

import resource
import subprocess
import sys

COMMAND = "import sys; sys.argv = {!r}; from telemetry_cli.command import main; main()"
FLOOR = "sqlalchemy + google.protobuf + orjson"
CASES = {
    FLOOR: "import sqlalchemy, google.protobuf.struct_pb2, google.protobuf.timestamp_pb2, orjson",
    "recorder": "import recorder",
    "telemetry --help": COMMAND.format(["telemetry", "--help"]),
    "telemetry queue status": COMMAND.format(["telemetry", "queue", "status"]),
}


def seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # What a command answers does not matter: without a database, `queue status` has loaded all it needs.
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    taken: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(repeats):
        for name, code in CASES.items():
            taken[name].append(seconds(code))
    floor = min(taken[FLOOR])
    for name, each in taken.items():
        print(f"{min(each) * 1000:6.0f} ms  {min(each) / floor:5.2f}  {name}")


if __name__ == "__main__":
    main()
