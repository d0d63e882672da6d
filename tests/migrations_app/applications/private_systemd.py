"""A systemd of our own: a user manager in a mount namespace and control groups of its own, driven from outside of them.

`systemctl --user` finds it by XDG_RUNTIME_DIR. It takes its units from that folder, and nothing on the machine is
touched: without control groups of its own it would move every process of ours into its init.scope.
"""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

MANAGER = Path("/usr/lib/systemd/systemd")
CGROUPS = Path("/sys/fs/cgroup")
WAIT_SECONDS = 20.0
# Its /run says that this machine was booted with systemd, which it insists on (sd_booted(3)).
BEGIN = """
for mount in {mounts}; do mkdir -p "$mount/{group}" && echo $$ > "$mount/{group}/cgroup.procs" || exit 9; done
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit 8
exec {manager} --user
"""


@dataclass
class PrivateSystemd:
    """One running user manager."""

    folder: Path
    process: subprocess.Popen[bytes]
    group: str

    @property
    def environment(self) -> dict[str, str]:
        return {"XDG_RUNTIME_DIR": str(self.folder / "run")}

    def add_unit(self, name: str, text: str) -> None:
        self._units.mkdir(parents=True, exist_ok=True)
        (self._units / name).write_text(text)

    def remove_unit(self, name: str) -> None:
        (self._units / name).unlink()

    def units(self) -> list[str]:
        """In an order in which they can be stopped: NAME.timer before the NAME.service that it starts."""
        return sorted((file.name for file in self._units.iterdir()), reverse=True)

    @property
    def _units(self) -> Path:
        return self.folder / "run" / "systemd" / "user"

    def reload(self) -> None:
        self.systemctl("daemon-reload")

    def systemctl(self, *arguments: str) -> str:
        done = subprocess.run(
            ["systemctl", "--user", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)  # its units are stopped with it
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        for mount in _mounts():
            for folder in sorted((mount / self.group).rglob("*"), reverse=True):
                if folder.is_dir():
                    _remove(folder)
            _remove(mount / self.group)


def begin(folder: Path) -> PrivateSystemd:
    """Raises AssertionError with what is missing."""
    for program in ("unshare", "systemctl"):
        assert shutil.which(program), f"{program} is missing (Debian: apt-get install util-linux systemd)"
    assert MANAGER.exists(), f"{MANAGER} is missing (Debian: apt-get install systemd)"
    run = folder / "run"
    run.mkdir(mode=0o700, parents=True)
    group = f"causeway-test-{os.getpid()}"
    mounts = " ".join(map(str, _mounts()))
    with open(folder / "systemd.log", "wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", BEGIN.format(mounts=mounts, group=group, manager=MANAGER)],
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_RUNTIME_DIR": str(run)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    systemd = PrivateSystemd(folder, process, group)
    until = time.monotonic() + WAIT_SECONDS
    while not (run / "systemd" / "private").exists():
        if process.poll() is not None or time.monotonic() > until:
            said = (folder / "systemd.log").read_text(errors="replace")[-500:]
            systemd.end()
            raise AssertionError(f"no systemd of our own could be begun (it needs root): {said}")
        time.sleep(0.05)
    return systemd


def _mounts() -> list[Path]:
    """Where control groups are kept: one tree, or systemd's own beside the controllers'."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [CGROUPS / name for name in ("systemd", "unified") if (CGROUPS / name).is_dir()]


def _remove(folder: Path) -> None:
    until = time.monotonic() + 5
    while folder.exists():
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > until:
                return
            time.sleep(0.05)
