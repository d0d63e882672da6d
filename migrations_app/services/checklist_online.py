"""The checklist of a run that crosses online: the same items, proved by the steps that do there what theirs do offline.

A template, also a team's own, is written for both strategies and names the offline steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from migrations_app.services.checklist_file import TemplateItem

# Which step of the online way proves what that step of the offline one does.
STEPS: dict[str, str] = {
    "export": "copy_online",
    "refresh_export": "copy_online",
    "load": "copy_online",
    "verify": "full_check",
    "final_backup": "backup",
    "stop_application": "cut_over",
    "switch_configuration": "cut_over",
    "start_application": "cut_over",
    "arm_change_queue": "arm_back",
    "rehearse_rollback": "rehearse_fall_back",
    "back_stop": "back_fall_back",
    "back_save_changes": "back_fall_back",
    "back_restore_source": "back_fall_back",
    "back_switch_configuration": "back_fall_back",
    "back_start": "back_fall_back",
}
# The script needs to know how values return to SQLite, which is learned when the way back is armed.
_PROVED_BY: dict[tuple[str, str], str] = {("final_backup", "way_back_written"): "arm_back"}
# By the offline step and the proof: what is to be read differently; (title, criterion).
_WORDS: dict[tuple[str, str], tuple[str, str]] = {
    ("stop_application", "stopped"): (
        "The application of before the switch is stopped",
        "No process of it is left, and the fence refuses whoever still has the SQLite file open.",
    ),
    ("stop_application", "ports_closed"): (
        "Its port was free before it started again",
        "Nothing of before the switch listened any more.",
    ),
    ("final_backup", "backup_restored"): (
        "A backup from before the crossing is kept",
        "Taken before changes were captured; restored and compared. What came later is in both databases.",
    ),
    ("final_backup", "way_back_written"): (
        "The way back by hand is written",
        "rollback.sh lies beside the backup, for the day Causeway itself is down.",
    ),
    ("load", "loaded"): (
        "All data is loaded",
        "Every table of the plan, every row, as of one position in the log of changes.",
    ),
    ("verify", "verified"): (
        "The full check passes",
        "Both sides at the same position: nothing differs, nothing left untried. Every later batch is read back.",
    ),
    ("verify", "counts_equal"): ("Row counts are equal", "Every table, on both sides, at the same position."),
    ("verify", "cells_equal"): ("No data is corrupted", "Every cell is equal, at the same position."),
    ("check_application", "says_postgresql"): (
        "The health check shows that PostgreSQL is in use",
        "The application says so itself, or its connections show it; the SQLite file is fenced.",
    ),
    ("back_stop", ""): ("The application of before the fall-back is stopped", "PostgreSQL refuses whoever is left."),
    ("back_restore_source", ""): (
        "SQLite has every write",
        "The queue is empty and what flowed back was compared, before the fence was lifted.",
    ),
}


def for_online(item: TemplateItem, phases: Mapping[str, str]) -> TemplateItem:
    """The item as an online run asks for it. phases: of the run's own steps, by their names.

    An item goes where its step is: every cell is compared before gate 2, which waits for it.
    """
    step = _PROVED_BY.get((item.step, item.proof)) or STEPS.get(item.step, item.step)
    title, criterion = _WORDS.get((item.step, item.proof), (item.title, item.criterion))
    return replace(
        item,
        step=step,
        title=title,
        criterion=criterion,
        phase=phases.get(step, item.phase) if step != item.step else item.phase,
        subject=STEPS.get(item.subject, item.subject) if item.proof == "rehearsed" else item.subject,
        after=STEPS.get(item.after, item.after),
    )
