"""The way of a run: which steps and gates, in which order, for each kind; and the way back."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.registry.models import Application
from migrations_app.models.states import GateCode, OnLapse, Phase, RunKind, Strategy
from migrations_app.steps import (
    application,
    back,
    backup,
    checks,
    cut_over,
    export,
    move,
    online_back,
    online_prepare,
    preflight,
    prepare_target,
    readiness,
)
from migrations_app.steps import rehearsal as rehearsing
from migrations_app.steps.base import Step


@dataclass(frozen=True)
class StepSpec:
    """One position of the way. gate is '' for steps that the system does."""

    name: str
    title: str
    phase: Phase
    owner: str = "system"
    on_lapse: OnLapse = OnLapse.REDO
    on_host: bool = True
    gate: str = ""

    def queue_of(self, moved: Application) -> str:
        if self.gate:
            return ""
        return moved.host_queue if self.on_host else "common"


def _gate(code: GateCode, phase: Phase, owner: str) -> StepSpec:
    return StepSpec(f"gate_{code.value}", code.label, phase, owner, gate=code.value)


_STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        preflight.Preflight(),
        prepare_target.CreateScratch(),
        prepare_target.PrepareTarget(),
        backup.Backup(),
        backup.CopySource(),
        rehearsing.StartCopy(),
        checks.Baseline(),
        checks.OwnChecks(),
        export.Export(),
        readiness.RehearsalIsFresh(),
        application.BeforeStop(),
        application.StopApplication(),
        backup.FinalBackup(),
        export.RefreshExport(),
        move.Load(),
        move.Verify(),
        application.ArmChangeQueue(),
        application.SwitchConfiguration(),
        application.StartApplication(),
        application.CheckApplication(),
        application.AfterStart(),
        checks.CheckIntegrity(),
        checks.CheckPerformance(),
        checks.Soak(),
        readiness.Complete(),
        rehearsing.RehearseRollback(),
        rehearsing.TearDown(),
        online_prepare.InstallCapture(),
        online_prepare.SnapshotOnline(),
        online_prepare.CopyOnline(),
        online_prepare.CatchUp(),
        online_prepare.FullCheck(),
        cut_over.ArmBack(),
        cut_over.CutOver(),
        cut_over.Settle(),
        online_back.BackFallBack(),
        online_back.BackKeepFollowing(),
        online_back.BackStopFollowing(),
        online_back.RehearseFallBack(),
        back.BackStop(),
        back.BackSaveChanges(),
        back.BackRestoreSource(),
        back.BackSwitchConfiguration(),
        back.BackStart(),
        back.BackCheck(),
        back.BackAfterStart(),
        back.BackCleanTarget(),
        rehearsing.BackTearDown(),
    )
}

_CROSSING = (
    "stop_application",
    "final_backup",
    "refresh_export",
    "load",
    "verify",
    "arm_change_queue",
    "switch_configuration",
    "start_application",
    "check_application",
)

_PRODUCTION: tuple[str | StepSpec, ...] = (
    _gate(GateCode.PLAN, Phase.PREPARE, "lead"),
    "preflight",
    "prepare_target",
    "baseline",
    "own_checks",
    "backup",
    "export",
    "rehearsal_is_fresh",
    _gate(GateCode.GO, Phase.GO, "lead, ops"),
    "before_stop",
    *_CROSSING,
    "after_start",
    "check_integrity",
    "check_performance",
    _gate(GateCode.QA, Phase.VERIFICATION, "qa"),
    "soak",
    _gate(GateCode.SIGN_OFF, Phase.SIGN_OFF, "lead, qa, ops"),
    "complete",
)

_FOLLOW = ("install_capture", "snapshot_online", "copy_online", "catch_up", "arm_back", "full_check")

_PRODUCTION_ONLINE: tuple[str | StepSpec, ...] = (
    _gate(GateCode.PLAN, Phase.PREPARE, "lead"),
    "preflight",
    "prepare_target",
    "baseline",
    "own_checks",
    "backup",
    "rehearsal_is_fresh",
    *_FOLLOW,
    _gate(GateCode.GO, Phase.GO, "lead, ops"),
    "before_stop",
    "cut_over",
    "check_application",
    "after_start",
    "settle",
    "check_integrity",
    "check_performance",
    _gate(GateCode.QA, Phase.VERIFICATION, "qa"),
    "soak",
    _gate(GateCode.SIGN_OFF, Phase.SIGN_OFF, "lead, qa, ops"),
    "complete",
)

_REHEARSAL_ONLINE: tuple[str | StepSpec, ...] = (
    "preflight",
    "create_scratch",
    "prepare_target",
    "backup",
    "copy_source",
    "start_copy",
    "baseline",
    *_FOLLOW,
    "cut_over",
    "check_application",
    "settle",
    "check_integrity",
    "check_performance",
    "rehearse_fall_back",
    "tear_down",
)

_REHEARSAL: tuple[str | StepSpec, ...] = (
    "preflight",
    "create_scratch",
    "prepare_target",
    "backup",
    "copy_source",
    "start_copy",
    "baseline",
    "export",
    *_CROSSING,
    "check_integrity",
    "check_performance",
    "rehearse_rollback",
    "tear_down",
)


_WAYS: dict[tuple[str, str], tuple[str | StepSpec, ...]] = {
    (RunKind.PRODUCTION, Strategy.OFFLINE): _PRODUCTION,
    (RunKind.PRODUCTION, Strategy.ONLINE): _PRODUCTION_ONLINE,
    (RunKind.REHEARSAL, Strategy.OFFLINE): _REHEARSAL,
    (RunKind.REHEARSAL, Strategy.ONLINE): _REHEARSAL_ONLINE,
}

# What an online run does in another step, or joined with others. Keys are the offline steps.
_STANDS_FOR: dict[str, str] = {
    "export": "snapshot_online",
    "refresh_export": "catch_up",
    "load": "copy_online",
    "verify": "full_check",
    "final_backup": "backup",
    "arm_change_queue": "arm_back",
    "stop_application": "cut_over",
    "switch_configuration": "cut_over",
    "start_application": "cut_over",
    "rehearse_rollback": "rehearse_fall_back",
    "back_stop": "back_fall_back",
    "back_save_changes": "back_fall_back",
    "back_restore_source": "back_fall_back",
    "back_switch_configuration": "back_fall_back",
    "back_start": "back_fall_back",
    "back_clean_target": "back_keep_following",
}


def step_named(name: str) -> Step:
    """The step of that name. Raises KeyError."""
    return _STEPS[name]


def sequence_of(kind: str, strategy: str) -> tuple[StepSpec, ...]:
    """The whole way forward. Raises KeyError for a kind or strategy that there isn't."""
    names = _WAYS[kind, strategy]
    return tuple(entry if isinstance(entry, StepSpec) else _spec(entry) for entry in names)


def stands_for(strategy: str, name: str) -> str:
    """The step of that strategy that does what the offline step of that name does."""
    return _STANDS_FOR.get(name, name) if strategy == Strategy.ONLINE else name


def rollback_sequence(kind: str, done: set[str], strategy: str = Strategy.OFFLINE) -> tuple[StepSpec, ...]:
    """The way back, from the names of the steps that were begun: what was done is undone, nothing else touched."""
    if kind == RunKind.REHEARSAL:
        return (_spec("back_tear_down"),)
    names = _back_online(done) if strategy == Strategy.ONLINE else _back_offline(done)
    return tuple(_spec(name) for name in names)


def _back_offline(done: set[str]) -> list[str]:
    names = []
    if "stop_application" in done:
        names.append("back_stop")
        if "arm_change_queue" in done:
            names.append("back_save_changes")
        if "final_backup" in done:
            names.append("back_restore_source")
        if "switch_configuration" in done:
            names.append("back_switch_configuration")
        names += ["back_start", "back_check"]
    if "before_stop" in done:
        names.append("back_after_start")
    return [*names, "back_clean_target"]


def _back_online(done: set[str]) -> list[str]:
    """Whether the freeze came about is asked by the steps: only the durable facts know."""
    names = ["back_fall_back", "back_check"] if "cut_over" in done else []
    if "before_stop" in done:
        names.append("back_after_start")
    return [*names, "back_keep_following" if "copy_online" in done else "back_stop_following"]


def _spec(name: str) -> StepSpec:
    step = _STEPS[name]
    return StepSpec(step.name, step.title, step.phase, step.owner, step.on_lapse, step.on_host)
