"""Verifies the trail in the database: the chain, its signatures, and that the guards stand."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models, transaction
from django.db.models.functions import Cast

from controlplane.audit import append_only, guards, signing
from controlplane.audit.models import AuditCheckpoint, AuditEvent
from controlplane.audit.standalone import GENESIS, ChainChecker, PublicKey, Verdict, canonical, fingerprint
from controlplane.audit.trail import checkpoint_mapping, record, time_text

PAGE: Final = 1000
# What reading gives where someone put a value that is no time, no JSON or no text into a column.
_UNREADABLE: Final = (ValueError, TypeError, AttributeError, OverflowError, DatabaseError)
_COLUMNS: Final = (
    "sequence",
    "at",
    "actor",
    "role",
    "action",
    "object_type",
    "object_id",
    "object",
    "application",
    "salt",
    "after_checkpoint",
    "previous_hash",
    "hash",
)


@dataclass(frozen=True)
class TrailVerdict:
    """The chain's verdict, and the names of the database triggers that are missing."""

    chain: Verdict
    missing_guards: tuple[str, ...]
    first: int

    @property
    def ok(self) -> bool:
        return self.chain.ok and not self.missing_guards


def own_keys() -> dict[str, PublicKey]:
    """The public half of our own signing key, by fingerprint. Raises KeyUnusable."""
    key = signing.QuickKey(signing.raw_of(signing.public_key()))
    return {fingerprint(key.raw): key}


def verify_trail(*, keys: Mapping[str, PublicKey], first: int = 1, using: str = DEFAULT_DB_ALIAS) -> TrailVerdict:
    """Checks every event from `first` on, in pages, up to the newest one when it begins.

    keys: public keys by fingerprint. With first > 1 the hash of the event before it is taken as given.
    """
    head, checkpoints = _extent(using)
    previous = GENESIS
    if first > 1:
        before = AuditEvent.objects.using(using).filter(sequence=first - 1).values_list("hash", flat=True).first()
        previous = before or ""
    checker = ChainChecker(read_checkpoints(through=checkpoints, using=using), keys, first=first, previous=previous)
    for event in read_events(first=first, through=head, using=using):
        checker.feed(event)
    absent = (*guards.missing(connections[using]), *append_only.missing_now(connections[using]))
    return TrailVerdict(checker.finish(), absent, first)


def verify_and_record(
    *,
    actor: AbstractBaseUser | str,
    keys: Mapping[str, PublicKey],
    first: int = 1,
    using: str = DEFAULT_DB_ALIAS,
) -> TrailVerdict:
    """verify_trail(), and an event that says who did it and what was found."""
    verdict = verify_trail(keys=keys, first=first, using=using)
    broken = verdict.chain.first
    with transaction.atomic(using=using):
        record(
            action="audit.verified",
            actor=actor,
            payload={
                "ok": verdict.ok,
                "first": first,
                "events": verdict.chain.events,
                "head": verdict.chain.head,
                "signed_through": verdict.chain.signed_through,
                "broken": {"sequence": broken.sequence, "code": broken.code} if broken else None,
                "missing_guards": verdict.missing_guards,
            },
            using=using,
        )
    return verdict


def _extent(using: str) -> tuple[int, int]:
    """The newest event and the newest checkpoint, in one statement: two would see two moments of a living trail."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT MAX(sequence) FROM {guards.EVENT}), (SELECT MAX(number) FROM {guards.CHECKPOINT})"
        )
        sequence, number = cursor.fetchone()
    return sequence or 0, number or 0


def read_checkpoints(*, through: int, using: str = DEFAULT_DB_ALIAS) -> list[dict[str, Any]]:
    """Checkpoints 1 … through, by number. A row that can't be read comes as its number."""
    rows = AuditCheckpoint.objects.using(using).filter(number__lte=through).order_by("number")
    try:
        return [checkpoint_mapping(row) for row in rows]
    except _UNREADABLE:
        return [_checkpoint_or_number(rows, number) for number in list(rows.values_list("number", flat=True))]


def _checkpoint_or_number(rows: models.QuerySet[AuditCheckpoint], number: int) -> dict[str, Any]:
    try:
        return checkpoint_mapping(rows.get(number=number))
    except _UNREADABLE:
        return {"number": number}


def read_events(*, first: int, through: int, using: str = DEFAULT_DB_ALIAS) -> Iterator[dict[str, Any]]:
    """Events first … through as they are hashed, in keyset pages. A row that can't be read comes as its sequence."""
    rows = _raw_rows(using)
    last = first - 1
    while last < through:
        wanted = rows.filter(sequence__gt=last, sequence__lte=through).order_by("sequence")[:PAGE]
        try:
            page = list(wanted)
        except _UNREADABLE:
            page = list(_one_by_one(rows, last, through))
        if not page:
            return
        for row in page:
            yield _event(row)
        last = page[-1]["sequence"]


def _raw_rows(using: str) -> models.QuerySet[AuditEvent, dict[str, Any]]:
    # The payload's text as it is: two spellings of the same JSON must not both pass.
    text = Cast("payload", models.TextField())
    rows: models.QuerySet[AuditEvent, dict[str, Any]] = (
        AuditEvent.objects.using(using).annotate(payload_text=text).values(*_COLUMNS, "payload_text")
    )
    return rows


def _one_by_one(rows: models.QuerySet[AuditEvent, dict[str, Any]], last: int, through: int) -> Iterator[dict[str, Any]]:
    within = rows.filter(sequence__gt=last, sequence__lte=through).order_by("sequence")
    for sequence in list(within.values_list("sequence", flat=True)[:PAGE]):
        try:
            yield rows.get(sequence=sequence)
        except _UNREADABLE:
            yield {"sequence": sequence}


def _event(row: dict[str, Any]) -> dict[str, Any]:
    try:
        text = row.pop("payload_text")
        payload = json.loads(text)
        if canonical(payload).decode("ascii") != text:
            raise ValueError("the payload is not in canonical form")
        return {**row, "payload": payload, "at": time_text(row["at"])}
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        # Without the fields that are hashed, so the check calls it unreadable, but goes on behind it.
        kept = ("sequence", "previous_hash", "after_checkpoint", "hash")
        return {name: row[name] for name in kept if name in row}
