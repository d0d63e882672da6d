"""Which instance gets the traffic: one line or so in a proxy's file, renamed into place, and a reload.

The file is the durable fact. A kill between rename and reload leaves the proxy on the old instance until the move is
repeated: moving always reloads, also when the file says already what it shall.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from migrations_app.applications.commands import run_command
from migrations_app.applications.configuration import Chosen, replace_content
from migrations_app.applications.description import DIALECTS, ApplicationDescription, Dialect
from migrations_app.applications.drivers.specs import Upstream
from migrations_app.applications.endpoints import field_of
from migrations_app.applications.http import get
from migrations_app.engine.errors import EngineError, Failed, Refused

ARRIVAL_SECONDS = 10.0  # a reload is not waited for by `nginx -s reload`: its new workers come up a moment later
STEADY_SECONDS = 0.15  # nginx lets its old workers accept for another 100 ms (ngx_master_process_cycle)
POLL_SECONDS = 0.02
ANSWER_BYTES = 65_536
MAX_BYTES = 1_000_000


class UpstreamFile:
    """The proxy's file of one application. ports: of the process that people use, {dialect: port}."""

    def __init__(self, description: ApplicationDescription, upstream: Upstream, ports: Mapping[Dialect, int]) -> None:
        self._description = description
        self._upstream = upstream
        self._contents = {dialect: upstream.content(description.host, ports[dialect]) for dialect in DIALECTS}

    def check(self) -> None:
        """Raises Refused BAD_TEMPLATE, NO_UPSTREAM_FILE, UPSTREAM_UNKNOWN."""
        template = self._upstream.template
        if "{port}" not in template or self._contents["sqlite"] == self._contents["postgresql"]:
            raise Refused(
                "BAD_TEMPLATE",
                "The template of the upstream file names no {port}, so it would be the same for both instances.",
                "Write it with {host}:{port}.",
            )
        if self.names() == "mixed":
            raise Refused(
                "UPSTREAM_UNKNOWN",
                f"{self._upstream.file} is not what the template makes for one of the two instances.",
                "Write into the file exactly what the template says, with the port of the instance that runs now.",
            )

    def names(self) -> Chosen:
        """The instance that the file names; "mixed" when it is neither's. Raises Refused NO_UPSTREAM_FILE."""
        content = self._read()
        for dialect in DIALECTS:
            if content.strip() == self._contents[dialect].strip():
                return dialect
        return "mixed"

    def move(self, dialect: Dialect) -> None:
        """Name the instance, reload the proxy, and see that it arrives.

        Raises Refused UPSTREAM_UNKNOWN, NO_UPSTREAM_FILE, and Failed TRAFFIC_NOT_MOVED: then the file is as it was.
        """
        self.check()
        before = self._read()
        if self.names() != dialect:
            self._write(self._contents[dialect])
        problem = self._reload() or self._arrival_problem(dialect)
        if not problem:
            return
        if before != self._read():
            self._write(before)
            self._reload()
        raise Failed(
            "TRAFFIC_NOT_MOVED",
            f"The traffic of {self._description.name} was not moved to {dialect}: {problem}. "
            f"{self._upstream.file} is as it was before.",
            f"Mend the proxy (its own log says more) or the command {self._upstream.reload.name}, then resume.",
        )

    def _reload(self) -> str:
        try:
            result = run_command(self._upstream.reload)
        except Failed as error:
            return error.message
        if result.succeeded:
            return ""
        said = " ".join(result.output.split())[-300:]
        how = "did not end in time" if result.exit_status is None else f"ended with {result.exit_status}"
        return f"command {result.name} {how}{f' ({said})' if said else ''}"

    def _arrival_problem(self, dialect: Dialect) -> str:
        """Ask through the proxy until the right instance answers, and steadily; "" when it did, or can't be asked."""
        identity = self._description.identity
        if self._upstream.front_port is None or identity is None or not identity.field:
            return ""
        until = time.monotonic() + ARRIVAL_SECONDS
        right_since: float | None = None
        while True:
            asked = time.monotonic()
            problem = self._answer_problem(dialect)
            right_since = None if problem else right_since or asked
            if right_since is not None and asked - right_since >= STEADY_SECONDS:
                return ""
            if asked >= until:
                return problem or "through the proxy now one instance answers, now the other"
            time.sleep(POLL_SECONDS)

    def _answer_problem(self, dialect: Dialect) -> str:
        identity, port = self._description.identity, self._upstream.front_port
        assert identity is not None and port is not None
        try:
            with get(
                self._description.host,
                port,
                identity.path,
                allowed_hosts=self._description.allowed_hosts,
                timeout=self._description.http_timeout_seconds,
                limit=ANSWER_BYTES,
            ) as answer:
                status, body = answer.status, answer.read_all()
            said = field_of(json.loads(body), identity.field)
        except EngineError as error:
            return f"through the proxy: {error.message}"
        except ValueError:
            return f"through the proxy {identity.path} is answered without JSON"
        if status == 200 and str(said) == identity.values[dialect]:
            return ""
        return f"through the proxy {identity.path} answers {status} and says {identity.field} is {str(said)[:60]!r}"

    def _read(self) -> bytes:
        file = self._upstream.file
        try:
            if file.stat().st_size > MAX_BYTES:
                raise Refused("NO_UPSTREAM_FILE", f"{file} is too large to be one.", "Name the right file.")
            return file.read_bytes()
        except OSError as error:
            raise Refused(
                "NO_UPSTREAM_FILE",
                f"{file} can't be read: {error.strerror}.",
                "Make it with the port of the instance that runs now; the service must be able to write its folder.",
            ) from None

    def _write(self, content: bytes) -> None:
        try:
            replace_content(self._upstream.file, content)
        except Failed as error:
            raise Failed(
                "TRAFFIC_NOT_MOVED",
                f"{self._upstream.file} could not be written ({error.message}): the traffic goes where it went.",
                error.hint,
            ) from None
