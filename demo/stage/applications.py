"""The sample applications as they run: started on the database that their configuration names, ended with the demo."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings

from controlplane.registry.models import Application
from demo.stage.errors import StageError
from migrations_app.applications import configuration
from migrations_app.applications.reality import Reality
from migrations_app.applications.supervisor import request_stop
from migrations_app.engine.errors import EngineError
from migrations_app.models import MigrationRun
from migrations_app.models.states import RunKind, StepState
from migrations_app.steps import workplace

STOP_SECONDS = 3.0


def start(application: Application) -> str:
    """Start it, and say on which database; '' when a run holds it stopped. Raises StageError demo.application."""
    if held_by_run(application):
        return ""
    description = workplace.describe(application)
    dialect = configuration.current(description.pointing)
    if dialect == "mixed":
        raise StageError(
            "demo.application",
            f"The configuration of {application.name} contradicts itself: {description.pointing.file}.",
            "Mend DATABASE_TYPE and DATABASE_URL, or begin anew with --fresh.",
        )
    try:
        workplace.production_driver(application).start(dialect)
    except EngineError as error:
        raise StageError("demo.application", f"{application.name}: {error.message}", error.hint) from None
    return dialect


def held_by_run(application: Application) -> bool:
    """Whether a run has stopped it and not started it again: then that is the run's business."""
    run = MigrationRun.objects.active().filter(application=application, kind=RunKind.PRODUCTION).first()
    if run is None:
        return False
    states = dict(run.steps.values_list("name", "state"))
    stop, back = ("back_stop", "back_start") if "back_stop" in states else ("stop_application", "start_application")
    if stop == "back_stop" and states[stop] == StepState.PENDING:
        stop, back = "stop_application", "start_application"
    return states.get(stop, StepState.PENDING) != StepState.PENDING and states.get(back) != StepState.SUCCEEDED


def reality(application: Application) -> Reality:
    """What runs and listens now."""
    return workplace.production_driver(application).status()


def stops(applications: list[Application]) -> list[Callable[[], None]]:
    """How to end each instance, a rehearsal's included, in the time that the demo promises."""
    folders = [workplace.production_directory(application) for application in applications]
    for application in applications:
        folders += (settings.CAUSEWAY_ARTIFACTS_DIR / application.name).glob("run-*/instance")
    return [partial(_stop, folder) for folder in folders if (folder / "status.json").exists()]


def _stop(folder: Path) -> None:
    request_stop(folder, STOP_SECONDS)


def health(address: str) -> dict[str, Any]:
    """Its own word: status and database. Raises OSError when it doesn't answer."""
    with urllib.request.urlopen(f"{address}/api/health", timeout=5) as answer:
        document: dict[str, Any] = json.load(answer)
        return document
