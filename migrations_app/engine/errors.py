"""The engine's errors: one tree, each with a stable code, a sentence and a hint.

Exit codes are those of the commands (docs/reference/commands.md): 2 refused, the target is
untouched; 3 failed on the way, nothing of ours is visible in the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrations_app.engine.plan import Finding


class EngineError(Exception):
    """What happened and where (`message`), what to do (`hint`), and a stable `code`. Never holds a secret."""

    exit_code = 3

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross from helper processes: rebuilt from what they hold, whatever their own arguments are."""
        return _rebuilt, (type(self), self.__dict__)


def _rebuilt(kind: type[EngineError], held: dict[str, Any]) -> EngineError:
    error = kind.__new__(kind, held["message"])
    error.__dict__.update(held)
    return error


class Refused(EngineError):
    """Bad input, or a condition that must be mended first. Nothing was written."""

    exit_code = 2


class FindingsRefused(Refused):
    """The plan has findings that need a choice; `findings` lists them."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        first = findings[0]
        where = ".".join(part for part in (first.table, first.column) if part)
        super().__init__(
            "FINDINGS_WITHOUT_CHOICE",
            f"{len(findings)} finding(s) need a choice before anything is loaded; the first is {first.code}"
            f"{f' at {where}' if where else ''}: {first.message}",
            "Choose with --choose CODE=CHOICE or CODE@table.column=CHOICE, or in the plan's page.",
        )
        self.findings = tuple(findings)


class Failed(EngineError):
    """Something broke on the way that an operator can act on (disk full, target gone, a value that doesn't fit)."""


class Cancelled(EngineError):
    """A person, a time limit or a lost lease stopped the work at a safe point."""

    def __init__(self, message: str = "Stopped before the end, as asked.") -> None:
        super().__init__("CANCELLED", message, "Run it again to go on where it stopped.")


class Fenced(Failed):
    """Another holder has taken the lease; whoever lost it must stop at once."""

    def __init__(self, message: str) -> None:
        super().__init__("LEASE_LOST", message, "Nothing to do: the new holder goes on with the work.")
