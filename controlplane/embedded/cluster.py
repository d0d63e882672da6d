"""Makes a PostgreSQL cluster: initdb as the server's user, with a password that only files of mode 0600 hold.

Each cluster is made anew (about half a second) rather than copied from a template: copies would share one
system identifier, by which two servers are told apart.
"""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from controlplane.embedded.errors import EmbeddedError
from controlplane.embedded.home import Account, give, write_private


def make_cluster(home: Path, bindir: Path, major: int, superuser: str, account: Account | None) -> None:
    """initdb into a folder beside `home/data`, then rename: a kill leaves nothing that looks like a cluster.

    The superuser's password goes to `home/password`. Raises EmbeddedError (postgres.initdb).
    """
    part = home / "data.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    give(part, account)
    password = secrets.token_urlsafe(24)
    write_private(home / "password", password)
    password_file = home / "initdb.password"  # a real file, readable by the server's user
    write_private(password_file, password + "\n", account)
    try:
        _initdb([str(bindir / "initdb"), "-U", superuser, *_options(part, password_file, major)], home, account)
    finally:
        password_file.unlink()
    part.rename(home / "data")


def _options(folder: Path, password_file: Path, major: int) -> list[str]:
    """Bytewise order with UTF-8 rules for letters; the builtin provider is new in 17."""
    options = ["-D", str(folder), "-A", "scram-sha-256", f"--pwfile={password_file}", "-E", "UTF8"]
    options += ["--no-sync", "--no-instructions"]
    if major >= 17:
        return [*options, "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [*options, f"--locale={'C.UTF-8' if sys.platform.startswith('linux') else 'C'}"]


def _initdb(command: list[str], home: Path, account: Account | None) -> None:
    made = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd="/",
        env=server_environment(),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        timeout=120,
        check=False,
    )
    if made.returncode:
        raise EmbeddedError(
            "postgres.initdb",
            f"initdb failed: {' | '.join(made.stderr.strip().splitlines()[-4:])}",
            f"Is there space in {home}, and may the server's user write there?",
        )


def server_environment() -> dict[str, str]:
    """Nothing of ours: a server needs no secret of the control plane, and PG* variables would mislead its tools."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
