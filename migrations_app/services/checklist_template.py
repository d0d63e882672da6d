"""The runbook's criteria that this version works with: what the system proves by which step, and what QA looks at."""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.models.states import Phase


@dataclass(frozen=True)
class TemplateItem:
    """step_name: the step whose success proves the item; '' for people's."""

    code: str
    phase: Phase
    title: str
    criterion: str
    prover: str = "system"
    step_name: str = ""
    level: str = "mandatory"


TEMPLATE: tuple[TemplateItem, ...] = (
    TemplateItem(
        "P01", Phase.PREPARE, "PostgreSQL is ready", "Version 15 or newer, UTF-8, rights", step_name="preflight"
    ),
    TemplateItem(
        "P02",
        Phase.PREPARE,
        "The target's schema is made",
        "All tables created, at the expected heads",
        step_name="prepare_target",
    ),
    TemplateItem(
        "P03", Phase.PREPARE, "SQLite is backed up", "Backup restored to a scratch file and equal", step_name="backup"
    ),
    TemplateItem("P04", Phase.PREPARE, "Data is exported", "All tables and rows, digests kept", step_name="export"),
    TemplateItem(
        "P05",
        Phase.PREPARE,
        "A fresh rehearsal succeeded",
        "Sample export and import validated",
        step_name="rehearsal_is_fresh",
    ),
    TemplateItem(
        "D01",
        Phase.DATA,
        "The application is stopped",
        "No process, port closed, no lock on the file",
        step_name="stop_application",
    ),
    TemplateItem(
        "D02", Phase.DATA, "Final backup", "Taken after the stop, restored and compared", step_name="final_backup"
    ),
    TemplateItem("D03", Phase.DATA, "All data is loaded", "Row counts match SQLite", step_name="load"),
    TemplateItem(
        "D04", Phase.DATA, "No data corruption", "Every cell equal, encrypted fields intact", step_name="verify"
    ),
    TemplateItem(
        "R01",
        Phase.RESTART,
        "The configuration says PostgreSQL",
        "DATABASE_TYPE and DATABASE_URL set",
        step_name="switch_configuration",
    ),
    TemplateItem(
        "R02",
        Phase.RESTART,
        "The application starts",
        "Every process up, without errors",
        step_name="start_application",
    ),
    TemplateItem(
        "R03",
        Phase.RESTART,
        "Endpoints are healthy and say postgresql",
        "Counts of the API equal the tables' rows",
        step_name="check_application",
    ),
    TemplateItem("V01", Phase.VERIFICATION, "Dashboard loads", "Opens in the browser within 2 seconds", prover="qa"),
    TemplateItem("V02", Phase.VERIFICATION, "All vacation data displays correctly", "Compared by eye", prover="qa"),
    TemplateItem(
        "V03", Phase.VERIFICATION, "All genzai and ukeoi employees display", "Lists are complete", prover="qa"
    ),
    TemplateItem("V04", Phase.VERIFICATION, "Charts render properly", "No empty chart", prover="qa"),
    TemplateItem("V05", Phase.VERIFICATION, "Data filtering works", "By year and others", prover="qa"),
    TemplateItem("V06", Phase.VERIFICATION, "Download works", "The CSV opens and is complete", prover="qa"),
    TemplateItem(
        "V07",
        Phase.VERIFICATION,
        "Answers in time",
        "Endpoints under the plan's limit, parallel clients served",
        step_name="check_performance",
    ),
    TemplateItem(
        "V08",
        Phase.VERIFICATION,
        "Data integrity",
        "Orphans, uniques, sequences, encrypted fields decrypt",
        step_name="check_integrity",
    ),
    TemplateItem("M01", Phase.MONITORING, "Watched after the switch", "Endpoint checks stayed green", step_name="soak"),
    TemplateItem(
        "S01",
        Phase.SIGN_OFF,
        "Team documentation updated",
        "README, deployment guide, troubleshooting",
        prover="ops",
        level="recommended",
    ),
)
