"""What a run is made of. One concept a file; every state and transition in states.py."""

from migrations_app.models.certificates import Certificate
from migrations_app.models.checklist import (
    ChecklistItem,
    ChecklistTemplate,
    ChecklistVersion,
    ChecklistVisit,
    ItemChange,
    ResultFile,
    TestResult,
)
from migrations_app.models.gates import Approval, Gate, RollbackRequest, SignOff
from migrations_app.models.plans import Finding, MigrationPlan
from migrations_app.models.replication import Replication
from migrations_app.models.runs import Artifact, MigrationRun, RunStep, StepLogLine

__all__ = [
    "Approval",
    "Artifact",
    "Certificate",
    "ChecklistItem",
    "ChecklistTemplate",
    "ChecklistVersion",
    "ChecklistVisit",
    "Finding",
    "Gate",
    "ItemChange",
    "MigrationPlan",
    "MigrationRun",
    "Replication",
    "ResultFile",
    "RollbackRequest",
    "RunStep",
    "SignOff",
    "StepLogLine",
    "TestResult",
]
