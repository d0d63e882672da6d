"""What an operator's own commands may be: one script that keeps the tiny application as a daemon, honestly or not.

`operators_commands.py VERB`, in the application's folder: start, stop, signal, status. COMMANDS_FAULT: see the tests.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FAULT = os.environ.get("COMMANDS_FAULT", "")
PIDS = Path("daemon.json")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def running() -> dict[str, int]:
    kept = json.loads(PIDS.read_text()) if PIDS.exists() else {}
    return {name: pid for name, pid in kept.items() if alive(pid)}


def start() -> None:
    if FAULT == "start_fails":
        sys.exit("no licence: token=abcdefghijkl")
    if FAULT == "start_hangs":
        time.sleep(600)
    started = running()
    for name, arguments in json.loads(Path("daemons.json").read_text()).items():
        if name not in started:
            child = subprocess.Popen(
                arguments, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            started[name] = child.pid
            PIDS.write_text(json.dumps(started))
        if FAULT == "start_stops_halfway":
            sys.exit("halfway")


def tell() -> None:
    for pid in running().values():
        os.kill(pid, signal.SIGTERM)


def stop() -> None:
    if FAULT == "stop_lies":
        return
    if FAULT == "stop_hangs":
        time.sleep(600)
    if FAULT == "stop_fails":
        sys.exit("not now")
    tell()
    until = time.monotonic() + 10
    while running() and time.monotonic() < until:
        time.sleep(0.02)


def status() -> None:
    print("WARN something of no interest", file=sys.stderr)
    if FAULT == "status_fails":
        sys.exit(3)
    if FAULT != "status_lies":
        print("\n".join(running()))


{"start": start, "stop": stop, "signal": tell, "status": status}[sys.argv[1]]()
