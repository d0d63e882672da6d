"""What is added to a mail at the moment it is sent, and never stored with it: signed links, and headers with them.

An outbox row is shown to staff and kept: a link that acts must not lie there. An app declares, in AppConfig.ready, what
its templates need more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.mail.models import OutgoingMail


@dataclass(frozen=True)
class Extras:
    """context: for the template, beside the row's own; headers: for the message."""

    context: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


_declared: dict[str, Callable[[OutgoingMail], Extras]] = {}


def declare(template: str, make: Callable[[OutgoingMail], Extras]) -> None:
    """Mails of this template get what `make` answers. It is asked once for each try to send."""
    _declared[template] = make


def of(mail: OutgoingMail) -> Extras:
    make = _declared.get(mail.template)
    return make(mail) if make is not None else Extras()
