"""Writing the trail: `record()` an event, sign a `checkpoint()`. Nothing else writes these tables."""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from controlplane.audit import signing
from controlplane.audit.actions import require_known
from controlplane.audit.errors import KeyUnusable, OutsideTransaction, PayloadRefused
from controlplane.audit.models import AuditCheckpoint, AuditEvent, CheckpointReason
from controlplane.audit.payloads import clean_payload, clean_text
from controlplane.audit.standalone import CHECKPOINT_EVERY, GENESIS, checkpoint_message, event_hash

logger = logging.getLogger("causeway.audit")
# Any number that nothing else in this database locks; "causeway audit" as 64 bits would do no better.
_LOCK: Final = 4_171_200_018


@dataclass(frozen=True)
class Subject:
    """What an event is about, where no model instance is at hand."""

    type: str
    id: str
    text: str


def record(
    *,
    action: str,
    actor: AbstractBaseUser | AnonymousUser | str,
    role: str = "",
    obj: models.Model | Subject | str | None = None,
    application: str = "",
    payload: Mapping[str, Any] | None = None,
    at: datetime | None = None,
    checkpoint: bool = False,
    using: str = DEFAULT_DB_ALIAS,
) -> AuditEvent:
    """Appends one event to the trail, in the transaction of the change that it describes, as its LAST statement.

    Last, because from here to the commit no one else can append. actor: a user, or text such as "system", "cli:ops".
    application: the slug that filters by membership. checkpoint: sign the chain up to this event (gate decisions).
    Raises OutsideTransaction, UnknownAction, PayloadRefused, SecretInPayload, and KeyUnusable where a gate's
    checkpoint can't be signed.
    """
    require_known(action)
    connection = connections[using]
    _require_transaction(connection, action)
    cleaned = clean_payload(action, payload)
    subject = _subject(obj)
    _lock(connection)
    last = AuditEvent.objects.using(using).order_by("-sequence").values_list("sequence", "hash").first()
    newest = AuditCheckpoint.objects.using(using).order_by("-number").values_list("number", "sequence").first()
    event = AuditEvent(
        sequence=last[0] + 1 if last else 1,
        at=_moment(at),
        actor=clean_text(_name(actor), 200),
        role=clean_text(role, 50),
        action=action,
        object_type=clean_text(subject.type, 100),
        object_id=clean_text(subject.id, 100),
        object=clean_text(subject.text, 300),
        application=clean_text(application, 200),
        payload=cleaned,
        salt=secrets.token_hex(16),
        after_checkpoint=newest[0] if newest else 0,
        previous_hash=last[1] if last else GENESIS,
    )
    event.hash = event_hash(as_mapping(event))
    event.save(using=using, force_insert=True)
    _sign_when_due(event, newest[1] if newest else 0, checkpoint, using)
    return event


def checkpoint(reason: str = CheckpointReason.MANUAL, *, using: str = DEFAULT_DB_ALIAS) -> AuditCheckpoint | None:
    """Signs the chain up to its newest event; gives the checkpoint that is there if that one is signed already.

    None where the trail is empty. Raises KeyUnusable.
    """
    with transaction.atomic(using=using):
        _lock(connections[using])
        head = AuditEvent.objects.using(using).order_by("-sequence").first()
        newest = AuditCheckpoint.objects.using(using).order_by("-number").first()
        if head is None or (newest is not None and newest.sequence == head.sequence):
            return newest
        return _sign(head, newest.number if newest else 0, CheckpointReason(reason), using)


def as_mapping(event: AuditEvent) -> dict[str, Any]:
    """An event as it is hashed and exported: the field names of the reference, times as text in UTC."""
    return {
        "sequence": event.sequence,
        "at": time_text(event.at),
        "actor": event.actor,
        "role": event.role,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object": event.object,
        "application": event.application,
        "payload": event.payload,
        "salt": event.salt,
        "after_checkpoint": event.after_checkpoint,
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    }


def checkpoint_mapping(row: AuditCheckpoint) -> dict[str, Any]:
    """A checkpoint as it is signed and exported."""
    return {
        "number": row.number,
        "sequence": row.sequence,
        "hash": row.hash,
        "signed_at": time_text(row.signed_at),
        "reason": str(row.reason),
        "signature": row.signature,
        "key_fingerprint": row.key_fingerprint,
    }


def time_text(moment: datetime) -> str:
    """2026-03-01T12:00:00.000000Z: UTC, always six digits, so that one time has one spelling."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _require_transaction(connection: BaseDatabaseWrapper, action: str) -> None:
    # The transaction that a TestCase wraps around each test doesn't count, else tests would hide a missing atomic().
    blocks = connection.atomic_blocks
    if not connection.in_atomic_block or all(getattr(block, "_from_testcase", False) for block in blocks):
        raise OutsideTransaction(
            f"{action} was to be recorded outside a transaction.",
            hint="Call record() last inside the transaction.atomic() of the change.",
        )


def _lock(connection: BaseDatabaseWrapper) -> None:
    """From here to the end of the transaction no one else appends."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        else:
            # Changes no row but takes SQLite's write lock, should the transaction not have begun IMMEDIATE. A reader
            # whose snapshot is stale fails here with "database is locked" instead of forking the chain.
            cursor.execute("UPDATE audit_auditevent SET sequence = sequence WHERE 0")


def _moment(at: datetime | None) -> datetime:
    moment = timezone.now() if at is None else at
    if timezone.is_naive(moment):
        raise PayloadRefused("An audit event's time has no zone.", hint="Pass an aware datetime.")
    return moment


def _name(actor: AbstractBaseUser | AnonymousUser | str) -> str:
    name = actor if isinstance(actor, str) else actor.get_username() or "anonymous"
    if not name.strip():
        raise PayloadRefused("An audit event has no actor.", hint='Pass the user, or text such as "system".')
    return name


def _subject(obj: models.Model | Subject | str | None) -> Subject:
    if isinstance(obj, Subject):
        return obj
    if isinstance(obj, models.Model):
        return Subject(obj._meta.label_lower, str(obj.pk), str(obj))
    return Subject("", "", obj or "")


def _sign_when_due(event: AuditEvent, signed_through: int, gate: bool, using: str) -> None:
    number = event.after_checkpoint
    if gate:
        _sign(event, number, CheckpointReason.GATE, using)
    elif event.sequence - signed_through >= CHECKPOINT_EVERY:
        try:
            _sign(event, number, CheckpointReason.COUNT, using)
        except KeyUnusable as error:
            # A rollback at night must not stop for want of a signature. The next event tries again, and verification
            # and the system check report an unsigned tail.
            logger.error("The audit trail is unsigned since event %s: %s", signed_through + 1, error.message)


def _sign(event: AuditEvent, last_number: int, reason: CheckpointReason, using: str) -> AuditCheckpoint:
    key = signing.private_key()
    row = AuditCheckpoint(
        number=last_number + 1,
        sequence=event.sequence,
        hash=event.hash,
        signed_at=timezone.now(),
        reason=reason.value,
        key_fingerprint=signing.fingerprint_of(key.public_key()),
    )
    row.signature = key.sign(checkpoint_message(checkpoint_mapping(row))).hex()
    row.save(using=using, force_insert=True)
    # In the log it is out of reach of the database's owner: against a return of the whole database to an earlier day.
    transaction.on_commit(
        lambda: logger.info("audit checkpoint %s: event %s is %s", row.number, row.sequence, row.hash), using=using
    )
    return row
