"""The whole runbook is in the checklist that ships: every line has an item, and every item is proved by someone."""

from __future__ import annotations

import pytest

from migrations_app.models.states import Phase, RunKind, Strategy
from migrations_app.services.checklist_file import TemplateItem, item_from_document, shipped_file
from migrations_app.services.checklist_proofs import PROOFS
from migrations_app.services.errors import ServiceRefused
from migrations_app.steps.sequence import rollback_sequence, sequence_of

# The lines of the runbook, in its order, in our words; each with the items that stand for it.
RUNBOOK: dict[str, tuple[str, ...]] = {
    "environment: server of version 15 or newer": ("P01",),
    "environment: driver": ("P02",),
    "environment: schema migration tool": ("P03",),
    "environment: schema migrations written and tried": ("P04",),
    "environment: credentials in the configuration": ("P05",),
    "environment: type variable": ("P06",),
    "environment: address variable": ("P07",),
    "database: created": ("P08",),
    "database: user with rights": ("P09",),
    "database: schema migrations run": ("P10",),
    "database: tables": ("P11",),
    "database: indexes": ("P12",),
    "database: keys and constraints": ("P13",),
    "code: reviewed and tested": ("P14",),
    "code: database module": ("P15",),
    "code: start and shutdown": ("P16",),
    "code: pooling": ("P17",),
    "code: unit tests on SQLite": ("P18",),
    "code: integration tests on PostgreSQL": ("P19",),
    "code: pool tests": ("P20",),
    "code: health endpoint": ("P21",),
    "backup: taken": ("P22", "P34"),
    "backup: restored as a trial": ("P23",),
    "backup: way back written down and tried": ("P24",),
    "backup: what rolls back": ("P25", "D04"),
    "data: what exports": ("P26",),
    "data: what imports": ("P27",),
    "data: what verifies": ("P28",),
    "data: sample export": ("P29",),
    "data: sample import": ("P30",),
    "prerequisites: version": ("P31",),
    "prerequisites: variables": ("P32",),
    "prerequisites: health": ("P33",),
    "backup: file made": ("P34",),
    "backup: size": ("P35",),
    "export: made": ("P36",),
    "export: all tables and rows": ("P37",),
    "export: size": ("P38",),
    "stop: stopped": ("D01",),
    "stop: port": ("D02",),
    "load: all data": ("D05",),
    "load: counts": ("D06",),
    "load: verification": ("D07",),
    "verify: passes": ("D08",),
    "verify: counts": ("D09",),
    "verify: no corruption": ("D10",),
    "verify: encryption": ("D11",),
    "configuration: type": ("R01",),
    "configuration: address": ("R02",),
    "start: without errors": ("R03",),
    "start: health shows PostgreSQL": ("R04",),
    "start: number of employees": ("R05",),
    "start: pool": ("R06",),
    "endpoints: healthy": ("R07",),
    "endpoints: database": ("R08",),
    "endpoints: employees": ("R09",),
    "endpoints: genzai": ("R10",),
    "endpoints: ukeoi": ("R11",),
    "endpoints: counts": ("R12",),
    "functionality: dashboard": ("V01",),
    "functionality: vacation data": ("V02",),
    "functionality: genzai": ("V03",),
    "functionality: ukeoi": ("V04",),
    "functionality: charts": ("V05",),
    "functionality: filters": ("V06",),
    "functionality: download": ("V07",),
    "performance: 500 ms": ("V08",),
    "performance: dashboard in 2 s": ("V09",),
    "performance: no timeouts": ("V10",),
    "integrity: decrypts": ("V11",),
    "integrity: birth dates": ("V12",),
    "integrity: nothing encrypted is corrupt": ("V13",),
    "integrity: all fields": ("V14",),
    "pool: starts": ("V15",),
    "pool: size": ("V16",),
    "pool: clients at the same time": ("V17",),
    "pool: never exhausted": ("V18",),
    "rollback: stop": ("B01",),
    "rollback: restore": ("B02",),
    "rollback: configuration": ("B03",),
    "rollback: start": ("B04",),
    "rollback: health": ("B05",),
    "rollback: data": ("B06",),
    "watching: endpoints": ("M01",),
    "watching: pool": ("M02",),
    "watching: log": ("M03",),
    "watching: slow queries": ("M04",),
    "daily: health": ("M05",),
    "daily: error logs": ("M06",),
    "daily: size": ("M07",),
    "daily: backups": ("M08",),
    "daily: restore every week": ("M09",),
    "alert: pool": ("M10",),
    "alert: slow queries": ("M11",),
    "alert: error rate": ("M12",),
    "alert: disk": ("M13",),
    "alert: replication": ("M14",),
    "documentation: README": ("W01",),
    "documentation: contributors": ("W02",),
    "documentation: deployment": ("W03",),
    "documentation: connection string": ("W04",),
    "documentation: variables": ("W05",),
    "documentation: troubleshooting": ("W06",),
    "success, must: data": ("C01",),
    "success, must: tests": ("C02",),
    "success, must: health": ("C03",),
    "success, must: dashboard": ("C04",),
    "success, must: endpoints": ("C05",),
    "success, must: no corruption": ("C06",),
    "success, recommended: encryption": ("C07",),
    "success, recommended: pooling": ("C08",),
    "success, recommended: faster": ("C09",),
    "success, recommended: backup and rollback": ("C10",),
    "success, recommended: monitoring": ("C11",),
    "success, optional: search": ("C12",),
    "success, optional: replica": ("C13",),
    "success, optional: point in time": ("C14",),
    "success, optional: benchmarks": ("C15",),
    "sign-off: before": ("S01",),
    "sign-off: executed": ("S02",),
    "sign-off: after": ("S03",),
    "sign-off: tests": ("S04",),
    "sign-off: monitoring": ("S05",),
    "sign-off: rollback": ("S06",),
    "sign-off: team told": ("S07",),
}
NEVER_WAIVED = {"P22", "P23", "D01", "D05", "D08", "D10", "D11", "R04", "V11", "V13", "V14", "C01", "C06", "B02"}


def items() -> dict[str, TemplateItem]:
    return {item.code: item for item in shipped_file().items}


def test_every_line_of_the_runbook_has_its_items_and_every_item_its_line() -> None:
    named = {code for codes in RUNBOOK.values() for code in codes}
    assert sorted(named - set(items())) == []
    assert sorted(set(items()) - named) == ["D03"]  # the final backup is ours: the runbook has only the early one


@pytest.mark.parametrize(
    ("codes", "level"),
    [
        (["C01", "C02", "C03", "C04", "C05", "C06"], "mandatory"),
        (["C07", "C08", "C09", "C10", "C11"], "recommended"),
        (["C12", "C13", "C14", "C15"], "optional"),
    ],
)
def test_success_criteria_have_the_runbooks_levels(codes: list[str], level: str) -> None:
    assert {items()[code].level for code in codes} == {level}


def test_every_item_is_proved_by_a_step_that_runs_before_the_gate_that_waits_for_it() -> None:
    """A mandatory item whose step comes after its gate would stop every run."""
    way = [spec.name for spec in sequence_of(RunKind.PRODUCTION, Strategy.OFFLINE)]
    done = {"stop_application", "arm_change_queue", "final_backup", "switch_configuration"}
    back = [spec.name for spec in rollback_sequence(RunKind.PRODUCTION, done)]
    gates = {Phase.PREPARE: "gate_go", Phase.DATA: "gate_qa", Phase.RESTART: "gate_qa", Phase.VERIFICATION: "gate_qa"}
    for item in items().values():
        if item.step:
            assert item.step in (back if item.phase == Phase.ROLLBACK else way), item.code
            if item.phase != Phase.ROLLBACK:
                gate = gates.get(Phase(item.phase), "gate_sign_off")
                assert way.index(item.step) < way.index(gate), item.code
        if item.after:
            assert item.after in way, item.code
        assert item.proof in {"", *PROOFS}, item.code


def test_what_data_depends_on_is_never_waived() -> None:
    found = items()
    assert {code for code in NEVER_WAIVED if found[code].waivable} == set()
    assert all(found[code].level == "mandatory" for code in NEVER_WAIVED)


def test_everything_of_monitoring_that_nothing_measures_yet_is_qas() -> None:
    found = [item for item in items().values() if item.phase == Phase.MONITORING and item.prover != "system"]
    assert len(found) == 13
    assert {item.prover for item in found} == {"qa"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"code": "p1"}, "code"),
        ({"phase": "later"}, "phase"),
        ({"level": "urgent"}, "level"),
        ({"prover": "system"}, "system proves"),
        ({"prover": "qa", "step": "verify"}, "system proves"),
        ({"prover": "system", "parts": ["Z99"]}, "Z99"),
        ({"title": " "}, "title"),
        ({"needs": "endpoints"}, "otherwise"),
    ],
)
def test_checklist_that_contradicts_itself_is_refused(change: dict[str, object], says: str) -> None:
    from migrations_app.services.checklist_file import check_items

    described = {"code": "Q01", "phase": "verification", "section": "Ours", "title": "x", "prover": "qa", **change}
    with pytest.raises(ServiceRefused) as refused:
        check_items([item_from_document(described)])
    assert refused.value.code == "BAD_CHECKLIST" and says in refused.value.message
