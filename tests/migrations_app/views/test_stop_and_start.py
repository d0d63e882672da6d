"""Section “Stop and start”: one kind is kept, with what the operator allows."""

# ruff: noqa: F811 (fixtures are taken over by their names)

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User

from controlplane.registry.models import Application, Host
from migrations_app.services.gaps import gaps_of
from tests.migrations_app.views.test_applications import SignIn, ana, change, draft, errors_of, machine  # noqa: F401

pytestmark = pytest.mark.django_db
UPSTREAM = {
    "upstream_file": "/srv/yukyu/upstream.conf",
    "upstream_template": "upstream yukyu { server {host}:{port}; }",
    "upstream_process": "web",
    "upstream_reload": "nginx-reload",
    "upstream_front_port": "80",
    "ports_web": "8020",
}
COMMANDS = {"start": "up", "stop": "down", "status": "ps"}


@pytest.fixture
def yukyu(draft: Application) -> Application:
    Host.objects.filter(name=draft.host).delete()
    Host.objects.create(
        name=draft.host,
        roots=["/srv/yukyu"],
        commands=["down", "nginx-reload", "ps", "up"],
        units=["yukyu-web.service", "yukyu-worker.service"],
        seen_at=draft.created_at,
    )
    draft.processes = [
        {"name": "web", "command": "up", "port": 8010, "rehearsal_port": 8110},
        {"name": "worker", "command": "up"},
    ]
    draft.save()
    return draft


def kept(application: Application) -> dict[str, Any]:
    application.refresh_from_db()
    return dict(application.driver)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (
            {"kind": "systemd", "units": "yukyu-web.service\nyukyu-worker.service\n", "start": "up"},
            {"kind": "systemd", "units": ["yukyu-web.service", "yukyu-worker.service"], "manager": "system"},
        ),
        ({"kind": "command", **COMMANDS}, {"kind": "command", **COMMANDS}),
        (
            {"kind": "manual", "instructions": "Call 4711.\nAsk for Ben."},
            {"kind": "manual", "instructions": "Call 4711. Ask for Ben."},
        ),
        (
            {"kind": "blue_green", **UPSTREAM},
            {
                "kind": "blue_green",
                "ports": {"web": 8020},
                "upstream": {
                    "file": "/srv/yukyu/upstream.conf",
                    "template": "upstream yukyu { server {host}:{port}; }",
                    "process": "web",
                    "reload": "nginx-reload",
                    "front_port": 80,
                },
            },
        ),
        ({"kind": "process", "units": "yukyu-web.service"}, {}),
    ],
)
def test_each_kind_is_kept_with_its_own_fields_and_shown_again(
    yukyu: Application, ana: User, as_: SignIn, typed: dict[str, str], stored: dict[str, Any]
) -> None:
    answer = change(as_(ana), "driver", **typed)
    assert answer.status_code == 302, errors_of(answer)
    assert kept(yukyu) == stored
    again = as_(ana).get("/applications/yukyu/change/driver/").content.decode()
    boxes = re.findall(r'<input type="radio"[^>]*value="([a-z_]+)"[^>]*checked', again)
    assert boxes == [typed["kind"]]
    for value in stored.get("units") or [stored.get("instructions", ""), stored.get("start", "")]:
        assert value in again


@pytest.mark.parametrize(
    ("typed", "place", "words"),
    [
        ({"kind": "systemd", "units": ""}, "units", "Name its units"),
        ({"kind": "systemd", "units": "sshd.service"}, "units", "does not allow sshd.service"),
        ({"kind": "systemd", "units": "--all"}, "units", "not the whole name"),
        ({"kind": "systemd", "units": "yukyu-web.service\nyukyu-web.service"}, "units", "twice"),
        ({"kind": "command", "start": "up", "stop": "down"}, "status", "Choose one"),
        ({"kind": "blue_green", **UPSTREAM, "ports_web": "8110"}, "ports_web", "taken"),
        ({"kind": "blue_green", **UPSTREAM, "upstream_file": "/etc/passwd"}, "upstream_file", "outside the folders"),
        ({"kind": "blue_green", **UPSTREAM, "upstream_template": "server x;"}, "upstream_template", "{port}"),
        ({"kind": "blue_green", **UPSTREAM, "upstream_process": ""}, "upstream_process", "Whose port"),
    ],
)
def test_what_the_operator_does_not_allow_is_refused_beside_its_field(
    yukyu: Application, ana: User, as_: SignIn, typed: dict[str, str], place: str, words: str
) -> None:
    answer = change(as_(ana), "driver", **typed)
    assert answer.status_code == 400
    assert words in errors_of(answer)[place]
    assert kept(yukyu) == {}


def test_variables_and_a_start_by_others_exclude_each_other_from_both_sides(
    yukyu: Application, ana: User, as_: SignIn
) -> None:
    keys = {"keys-TOTAL_FORMS": "1", "keys-INITIAL_FORMS": "0", "keys-0-key": "DATABASE_URL"}
    pointing = {**keys, "keys-0-sqlite": "sqlite:///{path}", "keys-0-postgresql": "{url}", "mechanism": "environment"}
    change(as_(ana), "driver", kind="manual")
    yukyu.refresh_from_db()
    assert "let it read a file" in change(as_(ana), "pointing", **pointing).content.decode()
    change(as_(ana), "driver", kind="process")
    assert change(as_(ana), "pointing", **pointing).status_code == 302
    yukyu.refresh_from_db()
    assert "let it read a file" in change(as_(ana), "driver", kind="manual").content.decode()


def test_a_unit_that_the_operator_took_away_is_a_gap(yukyu: Application, ana: User, as_: SignIn) -> None:
    change(as_(ana), "driver", kind="systemd", units="yukyu-web.service")
    yukyu.refresh_from_db()
    host = Host.objects.get(name=yukyu.host)
    assert [gap for gap in gaps_of(yukyu, host, ()) if gap.section == "driver"] == []
    host.units = []
    said = [gap.text for gap in gaps_of(yukyu, host, ()) if gap.section == "driver"]
    assert len(said) == 1 and "does not allow yukyu-web.service" in said[0]
