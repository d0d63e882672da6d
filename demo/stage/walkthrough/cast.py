"""What people do with a run, through the pages."""

from __future__ import annotations

from dataclasses import dataclass

from demo.stage.console import Console
from demo.stage.errors import StageError
from demo.stage.people import PEOPLE
from demo.stage.walkthrough.browser import Browser, Page
from migrations_app.models import MigrationRun


@dataclass(frozen=True)
class Cast:
    """Everyone, signed in."""

    browsers: dict[str, Browser]
    console: Console

    @classmethod
    def signed_in(cls, address: str, passwords: dict[str, str], console: Console) -> Cast:
        """Sign everyone in who has a role, and the superuser."""
        browsers = {person.name: Browser(address, person.name, passwords[person.name]) for person in PEOPLE}
        for browser in browsers.values():
            browser.sign_in()
        console.say(f"Signed in through the page: {', '.join(browsers)}")
        return cls(browsers, console)

    def __getitem__(self, name: str) -> Browser:
        return self.browsers[name]

    def sign(self, name: str, run: MigrationRun, code: str, reason: str, *, typed_name: str = "") -> None:
        """Sign a gate. Raises StageError walkthrough.refused."""
        person = self[name]
        form = person.get(f"/runs/{run.pk}/sign/{code}/").form("plan_digest", "evidence_digest", "reason")
        page = person.confirm(form, {"reason": reason, "typed_name": typed_name})
        self._done(page, f"{name} signs gate {code} of run {run.pk} as {form.fields['role']}")

    def is_refused(self, name: str, run: MigrationRun, path: str, typed: dict[str, str]) -> Page:
        """Send what this person must not do; the page that refuses. Raises StageError when it is done all the same."""
        person = self[name]
        person.get(f"/runs/{run.pk}/")
        page = person.post_anyway(f"/runs/{run.pk}/{path}", typed)
        if page.status not in (400, 403, 409):
            raise StageError(
                "walkthrough.not_refused", f"{name} was not refused {path} of run {run.pk}.", page.text[:300]
            )
        said = next(iter(page.notices), page.text[:200])
        self.console.say(f"{name} tries {path.rstrip('/')}: {page.status}. {said}")
        return page

    def act(self, name: str, run: MigrationRun, action: str) -> None:
        """Press one of the run's buttons: start, submit, …"""
        person = self[name]
        page = person.get(f"/runs/{run.pk}/do/{action}/")
        form = next((form for form in page.forms if form.action.endswith(f"/do/{action}/")), None)
        form = form or page.form(action=f"/runs/{run.pk}/do/{action}/")
        self._done(person.submit(form, {}), f"{name} presses “{action}” of run {run.pk}")

    def create_run(self, name: str, plan: int, kind: str, strategy: str = "offline") -> int:
        """A new run from the page; its number."""
        person = self[name]
        form = person.get("/runs/new/").form("plan", "kind", "strategy")
        page = person.submit(form, {"plan": str(plan), "kind": kind, "strategy": strategy})
        self._done(page, f"{name} makes a {kind} run, {strategy}")
        return int(page.url.rstrip("/").rpartition("/")[2])

    def record(self, name: str, run: MigrationRun, code: str, note: str) -> None:
        """Record that an item passed, with what was seen."""
        person = self[name]
        form = person.get(f"/runs/{run.pk}/checklist/{code}/").form("outcome", "note")
        self._done(person.submit(form, {"outcome": "passed", "note": note}), f"{name} records {code}: {note}")

    def ask_rollback(self, name: str, run: MigrationRun, reason: str, rows: str) -> Page:
        """Ask for the rollback, with the rows typed in."""
        person = self[name]
        form = person.get(f"/runs/{run.pk}/roll-back/").form("typed_name", "reason")
        page = person.confirm(
            form, {"reason": reason, "typed_name": run.application.name, "rows_typed": rows, "do": "request"}
        )
        self._done(page, f"{name} asks to roll run {run.pk} back" + (f", {rows} rows typed in" if rows else ""))
        return page

    def agree_rollback(self, name: str, run: MigrationRun) -> None:
        """The second person."""
        person = self[name]
        form = person.get(f"/runs/{run.pk}/roll-back/").form(do="agree")
        self._done(person.confirm(form, {"do": "agree"}), f"{name} agrees to roll run {run.pk} back")

    def _done(self, page: Page, what: str) -> None:
        if page.status != 200 or any(notice.startswith("Not done") for notice in page.notices):
            said = next(iter(page.notices), page.text[:300])
            raise StageError("walkthrough.refused", f"{what}: refused with {page.status}.", said)
        self.console.say(what)
