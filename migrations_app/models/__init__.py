"""What a run is made of. One concept a file; every state and transition in states.py."""

from migrations_app.models.gates import Approval, ChecklistItem, Gate, RollbackRequest, SignOff, TestResult
from migrations_app.models.plans import Finding, MigrationPlan
from migrations_app.models.runs import Artifact, MigrationRun, RunStep, StepLogLine

__all__ = [
    "Approval",
    "Artifact",
    "ChecklistItem",
    "Finding",
    "Gate",
    "MigrationPlan",
    "MigrationRun",
    "RollbackRequest",
    "RunStep",
    "SignOff",
    "StepLogLine",
    "TestResult",
]
