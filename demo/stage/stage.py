"""The demo from its first process to its last."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from demo.mail_catcher import MailCatcher
from demo.stage import environment, samples, target, watching
from demo.stage.console import Console
from demo.stage.crew import Crew, together
from demo.stage.home import Home
from demo.stage.keys import Keys
from demo.stage.people import NAMES
from demo.stage.ports import Ports
from demo.stage.servers import Servers

WEB_PORTS = range(8000, 8010)
MAIL_PORTS = range(8030, 8040)
SMTP_PORTS = range(2525, 2535)
REHEARSALS = "causeway_rehearsals"  # the role that may create scratch databases, and its own database
LOOK_EVERY = 25  # polls between two looks at the applications


class Ended(BaseException):
    """Ctrl-C, or another request to end: no error."""


class Stage:
    """Everything that runs. Use `up()`; what was started ends with the block, whatever happens in it."""

    def __init__(self, home: Home, console: Console) -> None:
        self.home, self.console = home, console
        self.keys = Keys(home.folder("keys"))
        self.ports = Ports(home.path / "ports.json")
        self.servers = Servers(home, self.ports, console)
        self.installations: list[samples.Installation] = []
        self.applications: dict[str, Any] = {}
        self.people: dict[str, Any] = {}
        self.crew: Crew | None = None
        self.mails: MailCatcher | None = None
        self._polls = 0
        self._reported: dict[str, str] = {}

    @property
    def address(self) -> str:
        return self.crew.address if self.crew else ""

    @property
    def passwords(self) -> dict[str, str]:
        return self.keys.passwords(NAMES)

    @contextmanager
    def up(self) -> Iterator[None]:
        """All up on entry, all down on exit."""
        try:
            self._start()
            yield
        finally:
            with _undisturbed():
                self.stop()

    def watch(self) -> None:
        """Look whether all still runs; called while waiting. Raises when something can't be brought back."""
        self.servers.check()
        if self.crew is not None:
            self.crew.check()
        self._polls += 1
        if self._polls % LOOK_EVERY == 0:
            self._look_at_applications()

    def stop(self) -> None:
        """End everything, within the 5 seconds that the demo promises: first what uses the servers, then they."""
        self.console.watch = lambda: None
        together([*(self.crew.stops() if self.crew else []), *self._application_stops()])
        if self.mails is not None:
            self.mails.stop()
            self.mails = None
        together(self.servers.stops())

    def stop_causeway(self) -> None:
        """End web, worker, beat and broker; applications and PostgreSQL go on: the day that Causeway is down."""
        if self.crew is not None:
            self.crew.stop()
        self.servers.stop_broker()

    def start_causeway(self) -> None:
        """Up again after stop_causeway."""
        if not self.servers.given_broker:
            self.servers.start_broker()
            self.keys.put("broker-url", self.servers.broker_url)
        if self.crew is not None:
            self.crew.launch()
            self.crew.wait_until_up()

    # --- the way up ------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.servers.start()
        os.umask(0o077)  # not before: the servers' user reads some of what they need
        address = f"http://127.0.0.1:{self.ports.keep('web', WEB_PORTS)}"
        self.home.note_address(address)
        self._install()
        self.mails = self._catch_mails()
        own = environment.settings(
            self.home,
            self.keys,
            broker_url=self.servers.broker_url,
            address=address,
            smtp_url=self.mails.smtp_url,
        )
        environment.apply_here(own)
        self._migrate()
        self._seed()
        web_port = int(address.rpartition(":")[2])
        self.crew = Crew(self.home, environment.for_children(own), web_port, self.console)
        self.console.watch = self.watch
        self.crew.launch_web()
        self._start_applications()  # before the worker: a run that goes on may want to stop one of them at once
        self.crew.launch()
        self.crew.wait_until_up()
        self.console.say(f"Causeway at {address}: web, worker and beat are up")

    def _catch_mails(self) -> MailCatcher:
        smtp, page = self.ports.keep("smtp", SMTP_PORTS), self.ports.keep("mail-page", MAIL_PORTS)
        return MailCatcher(self.home.folder("mail"), smtp_port=smtp, page_port=page).start()

    def _install(self) -> None:
        for sample in samples.SAMPLES:
            installation = samples.Installation(
                sample=sample,
                folder=self.home.folder("applications") / sample.name,
                port=self.ports.keep(sample.name, sample.ports),
                rehearsal_port=self.ports.keep(f"{sample.name}-rehearsal", sample.rehearsal_ports),
            )
            if samples.install(installation, self.keys.cell_key(sample.name)):
                size = installation.source.stat().st_size / 1e6
                self.console.say(f"{sample.name}: an SQLite file of {size:.1f} MB, {installation.source}")
            self.installations.append(installation)
        target_host = urlsplit(self.servers.admin_url).hostname or "127.0.0.1"
        samples.write_operator_file(self.home.operator_file, self.installations, target_host)

    def _migrate(self) -> None:
        import django
        from django.core.management import call_command

        from controlplane.audit import signing

        django.setup()
        signing.create_key(self.keys.path("audit.pem"))
        self.home.public_key.write_text(signing.public_pem())
        call_command("migrate", verbosity=0, interactive=False)
        self.console.say("Control database: SQLite, schema up to date")

    def _seed(self) -> None:
        from demo.stage import rows

        admin = self.servers.admin_url
        suffix = self._suffix()
        scratch = REHEARSALS + suffix
        rehearsals = target.prepare(
            admin, role=scratch, password=self.keys.database_password(scratch), database=scratch, createdb=True
        )
        self.people = rows.seed_people(self.passwords)
        for installation in self.installations:
            role = installation.sample.database + suffix
            url = target.prepare(admin, role=role, password=self.keys.database_password(role), database=role)
            self.applications[installation.name] = rows.seed_application(
                installation, target_url=url, rehearsal_url=rehearsals
            )
            monitor = watching.monitor(admin, password=self.keys.database_password(watching.ROLE), database=role)
            watching.watch(self.applications[installation.name], installation, monitor)
        self.console.say(f"People and applications: {', '.join(NAMES)}; {', '.join(self.applications)}")
        if suffix:
            self.console.say(f"Roles and databases on your server end in {suffix}; drop them when you are done")

    def _suffix(self) -> str:
        """On a server of the user's an earlier demo's databases may still be there, with its rows."""
        if not self.servers.given_target:
            return ""
        return f"_{self.keys.once('target-suffix', lambda: secrets.token_hex(3))}"

    def _start_applications(self) -> None:
        from demo.stage import applications

        for installation in self.installations:
            dialect = applications.start(self.applications[installation.name])
            where = f"on {dialect}, {installation.address}" if dialect else "stopped by its run, see the run's page"
            self.console.say(f"{installation.name}: {where}")

    # --- while it runs ---------------------------------------------------------------------------------

    def _look_at_applications(self) -> None:
        """A crash of an application is a fact for people to see: it is said once, and not mended behind their back."""
        from demo.stage import applications

        for name, application in self.applications.items():
            status = applications.reality(application)
            if status.state == "stopping":  # asked to: what has ended by now is no crash
                continue
            crashed = ", ".join(process.name for process in status.processes if process.state == "crashed")
            if crashed and self._reported.get(name) != crashed:
                self.console.complain(f"{name}: {crashed} ended without being asked; its page says what is true.")
            self._reported[name] = crashed

    def _application_stops(self) -> list[Callable[[], None]]:
        if not self.applications:
            return []
        from demo.stage import applications

        return applications.stops(list(self.applications.values()))


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise Ended within the block."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not cut the ending short: it takes less than 5 seconds."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
