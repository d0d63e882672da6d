"""An ops person registers an application from nothing to a planned rehearsal, with what the pages say alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from playwright.sync_api import Page, expect

from controlplane.embedded import EmbeddedPostgres
from controlplane.registry.models import Application
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import PlanState
from migrations_app.services.sections import SECTIONS
from tests import factories as make
from tests.hosts import Machine, answer_at_once, make_machine
from tests.journeys.accessibility import assert_accessible
from tests.journeys.conftest import SignIn

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "java_script_enabled": False}


@pytest.fixture
def machine(tmp_path: Path, settings: Any, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The application's host, and ana, who was allowed to register applications."""
    answer_at_once(monkeypatch)
    ana = make.user("ana")
    ana.user_permissions.add(Permission.objects.get(codename="add_application"))
    return make_machine(tmp_path, settings)


def _begin(page: Page, machine: Machine) -> None:
    page.get_by_role("link", name="Applications").click()
    page.get_by_role("link", name="Register an application…").click()
    page.get_by_label("Name").fill("yukyu")
    page.get_by_label("Title").fill("Paid leave")
    page.get_by_label("Host").fill(machine.name)
    page.get_by_role("button", name="Register it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("yukyu: Paid leave")


def _next(page: Page, section: str) -> None:
    """The page's one button says what is filled in next."""
    page.get_by_role("link", name=f"Fill in: {section}").click()


def _say_source(page: Page, machine: Machine) -> None:
    path = page.get_by_label("SQLite file")
    path.fill(str(machine.outside))
    page.get_by_role("button", name="Check and save").click()
    expect(page.locator("#id_source_path-error")).to_contain_text(f"allows: {machine.root}")
    page.get_by_label("SQLite file").fill(str(machine.file))
    page.get_by_role("button", name="Check and save").click()
    expect(page.get_by_text("write-ahead log, UTF-8, 2 tables").first).to_be_visible()


def _type_server(page: Page, url: str, **other: str) -> None:
    parts = urlsplit(url)
    typed = {"host": parts.hostname, "port": parts.port, "database": parts.path[1:], "user": parts.username}
    for field, value in {**typed, "password": parts.password, **other}.items():
        page.locator(f"#id_{field}").fill(str(value))
    page.get_by_role("button", name="Check and save").click()


def _say_target(page: Page, url: str) -> None:
    _type_server(page, url, host="db.elsewhere")
    expect(page.locator("#id_host-error")).to_contain_text("not on the operator's list")
    _type_server(page, url, password="not the password")
    expect(page.locator("#id_password-error")).to_contain_text("refuses the password")
    assert page.locator("#id_password").input_value() == ""
    _type_server(page, url)
    expect(page.get_by_text(", empty").first).to_be_visible()


def _say_rehearsals(page: Page, poor: str, rich: str) -> None:
    """The target's role creates no databases; the page said so, and says it again for a server that is no better."""
    _type_server(page, poor)
    expect(page.locator("#id_user-error")).to_contain_text("CREATEDB")
    _type_server(page, rich)
    expect(page.get_by_text("may create scratch databases").first).to_be_visible()


def _say_processes(page: Page) -> None:
    page.locator("#id_processes-0-name").fill("web")
    page.locator("#id_processes-0-command").select_option("yukyu-web")
    page.locator("#id_processes-0-port").fill("8010")
    page.locator("#id_processes-0-rehearsal_port").fill("8010")
    page.get_by_role("button", name="One more process").click()
    expect(page.locator("#id_processes-0-name")).to_have_value("web")
    page.locator("#id_processes-1-name").fill("worker")
    page.locator("#id_processes-1-command").select_option("yukyu-worker")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#id_processes-0-rehearsal_port-error")).to_contain_text("8010 is taken")
    page.locator("#id_processes-0-rehearsal_port").fill("8110")
    page.get_by_role("button", name="Save", exact=True).click()


def _say_pointing(page: Page, machine: Machine) -> None:
    page.get_by_label("The file").fill(str(machine.root / ".env"))
    page.locator("#id_keys-0-key").fill("DATABASE_URL")
    page.locator("#id_keys-0-sqlite").fill("sqlite:///{path}")
    page.locator("#id_keys-0-postgresql").fill("{url}")
    page.get_by_role("button", name="Save", exact=True).click()


def _say_health(page: Page) -> None:
    page.locator("#id_endpoints-0-name").fill("employees")
    page.locator("#id_endpoints-0-process").select_option("web")
    page.locator("#id_endpoints-0-path").fill("/api/employees")
    page.locator("#id_endpoints-0-length_equals_table").fill("employees")
    page.locator("#id_identity_process").select_option("web")
    page.locator("#id_identity_path").fill("/api/health")
    page.locator("#id_identity_field").fill("database")
    page.locator("#id_identity_sqlite").fill("sqlite")
    page.locator("#id_identity_postgresql").fill("postgresql")
    page.get_by_role("button", name="Save", exact=True).click()


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone-without-script"])
def test_ops_registers_an_application_and_plans_its_rehearsal(
    sign_in: SignIn, machine: Machine, target_url: str, postgres: EmbeddedPostgres, options: dict[str, Any]
) -> None:
    page = sign_in("ana", **options)
    _begin(page, machine)
    _next(page, "SQLite file")
    _say_source(page, machine)
    _next(page, "Target")
    _say_target(page, target_url)
    _next(page, "Rehearsals")
    _say_rehearsals(page, target_url, postgres.url())
    _next(page, "Processes and commands")
    _say_processes(page)
    _next(page, "Configuration")
    _say_pointing(page, machine)
    _next(page, "Proofs of health")
    _say_health(page)
    expect(page.get_by_text("before it can be moved")).to_be_visible()  # only people are missing now
    page.get_by_role("link", name="Make a plan…").click()
    page.get_by_role("button", name="Make the plan").click()
    assert MigrationPlan.objects.get().state == PlanState.DRAFT, MigrationPlan.objects.get().error_message
    page.goto("/applications/yukyu/")
    page.get_by_role("link", name="Draft a run…").click()
    page.get_by_role("button", name="Draft the run").click()
    run = MigrationRun.objects.get()
    assert (run.application.name, run.kind, run.requested_by.get_username()) == ("yukyu", "rehearsal", "ana")
    assert str(urlsplit(target_url).password) not in page.content()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_every_page_of_a_registration_can_be_read_and_used(
    sign_in: SignIn, machine: Machine, width: int, theme: str
) -> None:
    application = make.application("kept", host=machine.name)
    make.member(application, User.objects.get(username="ana"), "ops")
    page = sign_in("ana", viewport={"width": width, "height": 900}, color_scheme=theme)
    addresses = ["/applications/", "/applications/new/", "/applications/kept/", "/applications/kept/people/"]
    for address in [*addresses, *(f"/applications/kept/change/{section}/" for section in SECTIONS)]:
        page.goto(address)
        assert_accessible(page, address)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address


def test_whoever_runs_causeway_gives_a_role_and_takes_it(
    sign_in: SignIn, who: make.People, application: Application
) -> None:
    page = sign_in("boss")
    page.goto("/applications/yukyu/people/")
    page.get_by_label("Name of the account").fill("eve")
    page.get_by_label("Role", exact=True).select_option("qa")
    page.get_by_role("button", name="Give the role").click()
    expect(page.get_by_text("eve is now QA.")).to_be_visible()
    page.get_by_role("button", name="Take away the role QA from eve").click()
    expect(page.get_by_text("The role is taken.")).to_be_visible()
    assert not application.memberships.filter(user=who.stranger).exists()
    page = sign_in("ana")
    page.goto("/applications/yukyu/people/")
    expect(page.get_by_text("whoever runs Causeway (boss)")).to_be_visible()
    assert page.get_by_role("button", name="Take away").count() == 0
