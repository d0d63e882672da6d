"""A private PostgreSQL: made, started, watched and stopped by us, on a free port of the loopback interface."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg2
from psycopg2 import sql

from controlplane.embedded.binaries import Programs, find_postgres, has_statement_statistics
from controlplane.embedded.cluster import make_cluster, server_environment
from controlplane.embedded.errors import EmbeddedError
from controlplane.embedded.home import reachable_copy
from controlplane.embedded.process import TetheredProcess
from controlplane.embedded.server import EmbeddedServer

START_SECONDS = 60  # a loaded machine that recovers from a crash


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server with its data under `state_dir`; the same folder gives the same data, port and password.

    The programs are `bindir`, else PG_BINDIR, else (`prefer_system`) those on PATH, else the embedded wheel.
    `options` are server parameters. As root the server runs as user postgres, or nobody.
    """

    word = "postgres"
    title = "PostgreSQL"
    superuser = "postgres"

    def __init__(
        self,
        state_dir: Path,
        *,
        bindir: Path | None = None,
        port: int | None = None,
        prefer_system: bool = False,
        options: dict[str, str] | None = None,
    ) -> None:
        super().__init__(state_dir, port)
        programs = find_postgres(bindir, prefer_system=prefer_system)
        self.bindir = self._reachable(programs)
        self.version = programs.major
        self.options = options or {}
        self.data_dir = self.home / "data"

    def _reachable(self, programs: Programs) -> Path:
        if programs.package is None:
            return programs.bindir
        package = reachable_copy(programs.package, list(programs.neighbours), self.home, self._account)
        return package / programs.bindir.relative_to(programs.package)

    def _prepare(self) -> None:
        if not (self.data_dir / "PG_VERSION").exists():
            make_cluster(self.home, self.bindir, self.version, self.superuser, self._account)
        self._refuse_other_major()
        self._clear_stale_lock()

    # --- addresses -------------------------------------------------------------------------------

    def url(self, database: str = "postgres", *, role: str | None = None, password: str | None = None) -> str:
        """postgresql:// address; the superuser's unless a role is named. Holds the password: not for logs."""
        name, word = (role, password or "") if role else (self.superuser, self._password())
        user, secret, path = (quote(part, safe="") for part in (name, word, database))
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{path}"

    # --- databases and roles ---------------------------------------------------------------------

    def execute(
        self, statement: Any, values: Sequence[Any] = (), *, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run one statement as superuser, outside a transaction block; its rows, if it has any."""
        connection = psycopg2.connect(self.url(database), connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def create_role(self, name: str, password: str, *, createdb: bool = False, superuser: bool = False) -> None:
        """An ordinary role that may log in; an existing one gets the new password."""
        known = self.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
        verb = "ALTER" if known else "CREATE"
        rights = f"LOGIN {'' if createdb else 'NO'}CREATEDB {'' if superuser else 'NO'}SUPERUSER"
        self.execute(
            sql.SQL("{} ROLE {} " + rights + " PASSWORD {}").format(
                sql.SQL(verb), sql.Identifier(name), sql.Literal(password)
            )
        )

    def create_database(self, name: str, owner: str | None = None) -> None:
        """A UTF-8 database; one that exists stays as it is."""
        if self.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]):
            return
        self.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                sql.Identifier(name), sql.Identifier(owner or self.superuser)
            )
        )

    def drop_database(self, name: str) -> None:
        """End its connections and drop it, if it is there."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def drop_role(self, name: str) -> None:
        self.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))

    # --- how -------------------------------------------------------------------------------------

    def _password(self) -> str:
        return (self.home / "password").read_text()

    def _refuse_other_major(self) -> None:
        major = int((self.data_dir / "PG_VERSION").read_text())
        if major != self.version:
            raise EmbeddedError(
                "postgres.version",
                f"{self.data_dir} was made by PostgreSQL {major}, the programs in {self.bindir} are {self.version}.",
                f"Set PG_BINDIR to PostgreSQL {major}, or remove the folder.",
            )

    def _clear_stale_lock(self) -> None:
        """After a kill -9 the lock file may name a process that is now another program's: postgres would refuse."""
        lock = self.data_dir / "postmaster.pid"
        pid = _locked_by(lock)
        if pid is None:
            return
        try:
            alive = "postgres" in psutil.Process(pid).name()
        except psutil.NoSuchProcess:
            alive = False
        if alive and not _wait_gone(pid, 5):
            raise EmbeddedError(
                "postgres.running",
                f"A PostgreSQL (process {pid}) already runs on {self.data_dir}.",
                "Stop what started it.",
            )
        lock.unlink(missing_ok=True)

    def _tethered(self) -> TetheredProcess:
        parameters = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            **({"shared_preload_libraries": "pg_stat_statements"} if has_statement_statistics(self.bindir) else {}),
            **self.options,
        }
        return TetheredProcess(
            [
                self.bindir / "postgres",
                "-D",
                self.data_dir,
                *(f"--{name}={value}" for name, value in parameters.items()),
            ],
            log=self.log,
            stop_signal="INT",
            user=self._account.name if self._account else None,
            env=server_environment(),
            cwd="/",
        )

    def _wait_until_it_answers(self, process: TetheredProcess) -> bool:
        until = time.monotonic() + START_SECONDS
        while process.running and time.monotonic() < until:
            try:
                found = self.execute("SELECT current_setting('data_directory')")[0][0]
            except psycopg2.OperationalError:
                time.sleep(0.03)
                continue
            if (
                Path(found).resolve() == self.data_dir.resolve()
                and _locked_by(self.data_dir / "postmaster.pid") == process.pid
            ):
                return True
            raise EmbeddedError(
                "postgres.foreign", f"Another PostgreSQL answers on port {self._port}.", "Stop it and start again."
            )
        return False


def _locked_by(lock: Path) -> int | None:
    try:
        return int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _wait_gone(pid: int, seconds: float) -> bool:
    """A server that a killed command left behind is ending already (its tether saw to it): give it the time."""
    try:
        psutil.Process(pid).wait(seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True
