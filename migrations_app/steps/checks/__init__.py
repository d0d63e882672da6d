"""What is measured once the application runs on PostgreSQL: answers in time, integrity, the soak; and before, for both
to be compared with."""

from migrations_app.steps.checks.integrity import CheckIntegrity
from migrations_app.steps.checks.own_checks import OwnChecks
from migrations_app.steps.checks.performance import Baseline, CheckPerformance
from migrations_app.steps.checks.soak import Soak

__all__ = ["Baseline", "CheckIntegrity", "CheckPerformance", "OwnChecks", "Soak"]
