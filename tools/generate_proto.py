"""Generate the wire types of `telemetry.v1` from the contract under `proto/`.

The descriptor keeps the contract's own file name, `telemetrygateway/v1/...`, because
peers see it through gRPC reflection; only the Python import path is ours.

    python tools/generate_proto.py           # write
    python tools/generate_proto.py --check   # exit with 1 if the committed files differ
"""

import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = "telemetrygateway/v1/telemetrygateway.proto"
TARGET = ROOT / "src" / "telemetry" / "v1"
GENERATED_IMPORT = "telemetrygateway.v1"
PACKAGE_IMPORT = "telemetry.v1"


def generate() -> dict[str, str]:
    """Return the contents of the generated files by file name."""
    well_known = resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"-I{well_known}"]
        command += [f"--python_out={out}", f"--grpc_python_out={out}"]
        command += [f"--mypy_out=quiet:{out}", f"--mypy_grpc_out=quiet:{out}", PROTO]
        # The mypy plugins are console scripts in the folder of this interpreter.
        scripts = str(Path(sys.executable).parent)
        subprocess.run(command, check=True, env={"PATH": scripts})
        return {
            file.name: file.read_text().replace(GENERATED_IMPORT + " import", PACKAGE_IMPORT + " import")
            for file in sorted(Path(out).glob("telemetrygateway/v1/*.py*"))
        }


def main() -> int:
    """Write the generated files, or compare them with `--check`."""
    files = generate()
    if "--check" in sys.argv[1:]:
        stale = [name for name, text in files.items() if not _same(TARGET / name, text)]
        if stale:
            print(
                f"generated code differs from proto/: {', '.join(stale)}; run `make proto` and commit", file=sys.stderr
            )
        return 1 if stale else 0
    for name, text in files.items():
        (TARGET / name).write_text(text)
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
