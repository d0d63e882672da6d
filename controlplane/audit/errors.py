"""What can be wrong with the audit trail or with a call to it. Each has a stable code and a hint."""


class AuditError(Exception):
    """Base of the trail's errors: a sentence, a stable `code`, and in `hint` what to do."""

    code = "AUDIT"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class OutsideTransaction(AuditError):
    """record() was called outside the transaction of the change that it describes."""

    code = "AUDIT_OUTSIDE_TRANSACTION"


class UnknownAction(AuditError):
    """The action is not registered in controlplane/audit/actions.py."""

    code = "AUDIT_UNKNOWN_ACTION"


class SecretInPayload(AuditError):
    """The payload carries a credential; the sentence names where, never what."""

    code = "AUDIT_SECRET_IN_PAYLOAD"


class PayloadRefused(AuditError):
    """The payload is not plain JSON, or is too large for one line of the trail."""

    code = "AUDIT_PAYLOAD_REFUSED"


class KeyUnusable(AuditError):
    """The key that signs checkpoints is missing, unreadable, unsafe or of another kind."""

    code = "AUDIT_KEY_UNUSABLE"


class ExportRefused(AuditError):
    """The export can't be written where it was asked for."""

    code = "AUDIT_EXPORT_REFUSED"
