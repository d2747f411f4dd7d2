"""A process that records until it is killed: `python recording_process.py URL LEDGER`.

It writes the id of an event to its ledger *after* `record` has returned. Events that cannot be recorded are not
written. The process continues with the next event on the same connections.
"""

import os
import sys
import time

from recorder import Recorder, RecorderError
from telemetry import EventParameters, NewEvent

SECRET = "CANARY-LEDGER"
PARAMETERS = EventParameters(metadata={"n": 1}, private_metadata={"query": SECRET, "nested": {"deep": [SECRET]}})


def main(url: str, ledger: str) -> None:
    recorder = Recorder.from_url(url, service_version="1")
    file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number = 0
    while True:
        number += 1
        try:
            if number % 5:
                ids = [recorder.record("search.results", "submit", PARAMETERS)]
            else:
                ids = recorder.batch_record([NewEvent("search", "many", PARAMETERS)] * 3)
        except RecorderError:
            time.sleep(0.02)
            continue
        os.write(file, "".join(f"{event_id}\n" for event_id in ids).encode())
        time.sleep(0.002)  # leaves the processor to other processes


if __name__ == "__main__":
    main(*sys.argv[1:])
