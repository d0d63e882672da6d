"""What a service refuses, in the words that a page, a command and a test show alike: for both applications."""

from __future__ import annotations


class ServiceRefused(Exception):
    """A stable code, a sentence, a hint (what is missing), and `who` can supply it. `status` is the HTTP status."""

    def __init__(self, code: str, message: str, *, hint: str = "", who: str = "", status: int = 409) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.who = who
        self.status = status


class Forbidden(ServiceRefused):
    """The person lacks the role, or a rule of four eyes stands against it. Audited by the caller's view."""

    def __init__(self, code: str, message: str, *, hint: str = "", who: str = "") -> None:
        super().__init__(code, message, hint=hint, who=who, status=403)


class Stale(ServiceRefused):
    """Someone was faster, or the page was old: nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__("STALE", message, hint="Reload the page and look again.")


class FieldsRefused(ServiceRefused):
    """What was typed can't be so. fields: {place: sentence}; a place is a field, or list.row.field from row 0."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("FIELDS_REFUSED", next(iter(fields.values())), hint="Mend what is marked.", status=400)
        self.fields = fields
