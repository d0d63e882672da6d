"""The application as an operator has it: a folder with its configuration, a process to start and stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_WRITER = Path(__file__).with_name("writer.py")
_PATIENCE = 30.0  # seconds


@dataclass(frozen=True)
class Load:
    """per_second: transactions of all threads together; 0: as many as go."""

    threads: int = 3
    per_second: int = 300
    busy_timeout_ms: int = 5000
    synchronous: str = "NORMAL"
    accounts: int = 500


@dataclass(frozen=True)
class Start:
    """When a process was started, and when it had its first transaction acknowledged (time.monotonic())."""

    pid: int
    at: float


class Application:
    """`folder` holds the configuration and what was acknowledged. Use as a context manager: it ends what it started."""

    def __init__(self, folder: Path, load: Load) -> None:
        self.folder, self.load = folder, load
        self.starts: list[Start] = []
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(asdict(load)))

    def __enter__(self) -> Application:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def configuration(self) -> str:
        """'sqlite' or 'postgresql'."""
        return "sqlite" if (self.folder / "database").read_text().startswith("sqlite:") else "postgresql"

    def point(self, address: str) -> None:
        """Change the configuration by one rename."""
        part = self.folder / "database.part"
        part.write_text(address)
        os.replace(part, self.folder / "database")

    def start(self) -> None:
        """Nothing happens when it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_WRITER), str(self.folder)], stdin=subprocess.DEVNULL
        )
        self.starts.append(Start(self._process.pid, began))

    def signal_stop(self) -> None:
        """Tell it to stop; returns at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Tell it, and wait until it has ended."""
        self.signal_stop()
        if self._process is not None:
            self._process.wait(_PATIENCE)

    def kill(self) -> None:
        """As by power loss of the application's machine alone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_for(self, transactions: int) -> None:
        """Until the process that runs now has had so many acknowledged."""
        assert self._process is not None
        log = self.folder / f"acks-{self._process.pid}"
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if log.exists() and sum(1 for line in log.open() if line[0] not in "#!") >= transactions:
                return
            assert self.runs, "the application ended"
            time.sleep(0.01)
        raise AssertionError(f"not {transactions} transactions within {_PATIENCE} s")
