"""Monitoring: what is watched, its numbers, the rules, the alerts, and who is told."""

from monitoring_app.models.alerts import (
    Alert,
    AlertEvent,
    AlertKind,
    AlertRule,
    AlertState,
    NoData,
    Severity,
    Silence,
)
from monitoring_app.models.maintenance import Maintenance, MaintenanceState
from monitoring_app.models.recipients import Recipient
from monitoring_app.models.samples import Resolution, Sample, Series
from monitoring_app.models.targets import Marker, Round, Target
from monitoring_app.models.verifications import Verification

__all__ = [
    "Alert",
    "AlertEvent",
    "AlertKind",
    "AlertRule",
    "AlertState",
    "Maintenance",
    "MaintenanceState",
    "Marker",
    "NoData",
    "Recipient",
    "Resolution",
    "Round",
    "Sample",
    "Series",
    "Severity",
    "Silence",
    "Target",
    "Verification",
]
