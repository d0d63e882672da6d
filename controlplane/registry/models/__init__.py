"""What is moved, by whom, on which hosts: needed by both applications below."""

from controlplane.registry.models.applications import Application, ApplicationQuerySet, Membership, Role, SchemaMode
from controlplane.registry.models.hosts import Host, Look, LookKind, LookState

__all__ = [
    "Application",
    "ApplicationQuerySet",
    "Host",
    "Look",
    "LookKind",
    "LookState",
    "Membership",
    "Role",
    "SchemaMode",
]
