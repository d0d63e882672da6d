"""What a service refuses. The classes stand below both applications; here they have the name that services know."""

from __future__ import annotations

from controlplane.refusals import FieldsRefused, Forbidden, ServiceRefused, Stale

__all__ = ["FieldsRefused", "Forbidden", "ServiceRefused", "Stale"]
