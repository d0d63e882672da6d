"""A thousand edits by the tables' owner, triggers gone: each is found. And each defence off: its edit is not."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connections, transaction

from controlplane.audit import guards, standalone
from controlplane.audit.models import AuditCheckpoint, AuditEvent
from controlplane.audit.signing import fingerprint_of
from controlplane.audit.standalone import ChainChecker, checkpoint_message, event_hash
from controlplane.audit.trail import as_mapping, checkpoint, checkpoint_mapping, record
from controlplane.audit.verify import own_keys, verify_trail

EVENTS = 130
SIGNED = 127  # three events follow the last checkpoint
TEXT_COLUMNS = ("actor", "role", "action", "object_type", "object_id", "object", "application", "salt")
Edit = Callable[[str, random.Random], str]


@pytest.fixture
def long_trail(trail: str) -> str:
    """130 events: a gate at 20 and 127, a checkpoint by count at 120."""
    with transaction.atomic(using=trail):
        for number in range(1, EVENTS + 1):
            record(
                action="gate.passed" if number in {20, SIGNED} else "step.succeeded",
                actor=f"person {number % 4}",
                obj=f"step {number}",
                application="yukyu" if number % 3 else "other",
                payload={"rows": number},
                checkpoint=number in {20, SIGNED},
                using=trail,
            )
    return trail


def _sql(alias: str, statement: str, *parameters: object) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, list(parameters))


def _pick(chance: random.Random) -> int:
    return chance.randint(1, EVENTS)


def edit_text(alias: str, chance: random.Random) -> str:
    column, row = chance.choice(TEXT_COLUMNS), _pick(chance)
    value = f"eve {chance.random()}"[:30]
    _sql(alias, f'UPDATE audit_auditevent SET "{column}" = %s WHERE sequence = %s', value, row)
    return f"{column} of {row}"


def edit_payload(alias: str, chance: random.Random) -> str:
    row = _pick(chance)
    # Another value, another spelling of the same, or no JSON at all.
    text = chance.choice([json.dumps({"rows": row + 1}), f'{{"rows": {row}}}', f'{{"rows":0,"rows":{row}}}', "{", "[]"])
    _sql(alias, "UPDATE audit_auditevent SET payload = %s WHERE sequence = %s", text, row)
    return f"payload of {row} to {text}"


def edit_time(alias: str, chance: random.Random) -> str:
    row = AuditEvent.objects.using(alias).get(sequence=_pick(chance))
    later = row.at + timedelta(microseconds=chance.choice([1, -1, 10**6, 86_400 * 10**6]))
    AuditEvent.objects.using(alias).filter(sequence=row.sequence).update(at=later)
    return f"time of {row.sequence}"


def edit_link(alias: str, chance: random.Random) -> str:
    column, row = chance.choice(["hash", "previous_hash"]), _pick(chance)
    digest = f"{chance.getrandbits(256):064x}"
    _sql(alias, f"UPDATE audit_auditevent SET {column} = %s WHERE sequence = %s", digest, row)
    return f"{column} of {row}"


def edit_count(alias: str, chance: random.Random) -> str:
    row = _pick(chance)
    _sql(alias, "UPDATE audit_auditevent SET after_checkpoint = after_checkpoint + 1 WHERE sequence = %s", row)
    return f"after_checkpoint of {row}"


def edit_and_rehash(alias: str, chance: random.Random) -> str:
    """A changed row whose own hash is right again; its successor still names the old one."""
    row = AuditEvent.objects.using(alias).get(sequence=chance.randint(1, EVENTS - 1))
    row.actor = "eve"
    AuditEvent.objects.using(alias).filter(sequence=row.sequence).update(actor="eve", hash=event_hash(as_mapping(row)))
    return f"{row.sequence} rehashed"


def delete_some(alias: str, chance: random.Random) -> str:
    first = chance.randint(1, EVENTS - 1)
    last = min(first + chance.choice([0, 0, 1, 5]), EVENTS - 1)
    _sql(alias, "DELETE FROM audit_auditevent WHERE sequence BETWEEN %s AND %s", first, last)
    return f"deleted {first} to {last}"


def cut_tail(alias: str, chance: random.Random) -> str:
    first = chance.randint(1, SIGNED)
    _sql(alias, "DELETE FROM audit_auditevent WHERE sequence >= %s", first)
    return f"cut from {first}"


def swap(alias: str, chance: random.Random) -> str:
    one, other = sorted(chance.sample(range(1, EVENTS + 1), 2))
    for source, destination in ((one, -1), (other, one), (-1, other)):
        _sql(alias, "UPDATE audit_auditevent SET sequence = %s WHERE sequence = %s", destination, source)
    return f"swapped {one} and {other}"


def cut_head(alias: str, chance: random.Random) -> str:
    count = chance.randint(1, 50)
    _sql(alias, "DELETE FROM audit_auditevent WHERE sequence <= %s", count)
    _rebuild(alias, count + 1, renumber=-count)
    return f"the first {count} cut and the rest renumbered"


def append_forged(alias: str, chance: random.Random) -> str:
    row = AuditEvent.objects.using(alias).get(sequence=_pick(chance))
    row.sequence = EVENTS + chance.choice([1, 2])
    row.save(using=alias, force_insert=True)
    return f"a copy appended as {row.sequence}"


def insert_between(alias: str, chance: random.Random) -> str:
    """A forged event in the middle, all that follow moved up, every hash right again."""
    place = chance.randint(1, SIGNED)
    row = AuditEvent.objects.using(alias).get(sequence=place)
    for sequence in range(EVENTS, place - 1, -1):
        _sql(alias, "UPDATE audit_auditevent SET sequence = sequence + 1 WHERE sequence = %s", sequence)
    row.actor = "eve"
    row.save(using=alias, force_insert=True)
    _rebuild(alias, place)
    return f"a forged event put before {place}"


def rewrite_chain(alias: str, chance: random.Random) -> str:
    """A changed event and every hash from there on computed anew."""
    place = chance.randint(1, SIGNED)
    AuditEvent.objects.using(alias).filter(sequence=place).update(actor="eve")
    _rebuild(alias, place)
    return f"rewritten from {place}"


def rewrite_without_checkpoints(alias: str, chance: random.Random) -> str:
    """The same, the checkpoints gone, and every event saying that there never were any."""
    place = chance.randint(1, SIGNED)
    _sql(alias, "DELETE FROM audit_auditcheckpoint")
    _sql(alias, "UPDATE audit_auditevent SET after_checkpoint = 0")
    AuditEvent.objects.using(alias).filter(sequence=place).update(actor="eve")
    _rebuild(alias, 1)
    return f"rewritten from {place}, no checkpoint left"


def rewrite_and_sign(alias: str, chance: random.Random) -> str:
    """The same, signed again by another key."""
    what = rewrite_chain(alias, chance)
    key = Ed25519PrivateKey.generate()
    for row in AuditCheckpoint.objects.using(alias):
        row.hash = AuditEvent.objects.using(alias).get(sequence=row.sequence).hash
        # With its own fingerprint, or under the name of ours.
        row.key_fingerprint = chance.choice([fingerprint_of(key.public_key()), row.key_fingerprint])
        row.signature = key.sign(checkpoint_message(checkpoint_mapping(row))).hex()
        row.save(using=alias, force_update=True)
    return what + ", signed by another key"


def edit_checkpoint(alias: str, chance: random.Random) -> str:
    number = chance.randint(1, 3)
    change = chance.choice(
        [
            {"hash": "0" * 64},
            {"signature": "00" * 64},
            {"signature": "no hex"},
            {"reason": "manual"},
            {"key_fingerprint": "0" * 64},
            {"signed_at": datetime(2020, 1, 1, tzinfo=UTC)},
            {"sequence": 200 + number},
            {"number": 9 + number},
        ]
    )
    AuditCheckpoint.objects.using(alias).filter(number=number).update(**change)
    return f"checkpoint {number}: {change}"


def delete_checkpoint(alias: str, chance: random.Random) -> str:
    number = chance.randint(1, 3)
    _sql(alias, "DELETE FROM audit_auditcheckpoint WHERE number = %s", number)
    return f"checkpoint {number} deleted"


def swap_signatures(alias: str, chance: random.Random) -> str:
    one, other = chance.sample([1, 2, 3], 2)
    signature = AuditCheckpoint.objects.using(alias).get(number=other).signature
    AuditCheckpoint.objects.using(alias).filter(number=one).update(signature=signature)
    return f"checkpoint {one} with the signature of {other}"


def _rebuild(alias: str, first: int, renumber: int = 0) -> None:
    """Computes links and hashes anew from `first` on, as an owner who knows the format would."""
    before = AuditEvent.objects.using(alias).filter(sequence=first + renumber - 1).first()
    previous = before.hash if before else standalone.GENESIS
    for row in list(AuditEvent.objects.using(alias).filter(sequence__gte=first).order_by("sequence")):
        old = row.sequence
        row.sequence, row.previous_hash = old + renumber, previous
        row.hash = previous = event_hash(as_mapping(row))
        AuditEvent.objects.using(alias).filter(sequence=old).update(
            sequence=row.sequence, previous_hash=row.previous_hash, hash=row.hash
        )


CHEAP: list[Edit] = [
    edit_text,
    edit_text,
    edit_payload,
    edit_time,
    edit_link,
    edit_count,
    edit_and_rehash,
    delete_some,
    cut_tail,
    swap,
    append_forged,
    edit_checkpoint,
    delete_checkpoint,
    swap_signatures,
]
COSTLY: list[Edit] = [cut_head, insert_between, rewrite_chain, rewrite_without_checkpoints, rewrite_and_sign]


def _found(alias: str, edit: Edit, chance: random.Random) -> tuple[bool, str]:
    """Edits as the owner, verifies, and takes the edit back."""
    with transaction.atomic(using=alias):
        what = edit(alias, chance)
        verdict = verify_trail(keys=own_keys(), using=alias).chain
        transaction.set_rollback(True, using=alias)
    return not verdict.ok, what


def test_thousand_edits_by_the_owner_are_all_found(long_trail: str) -> None:
    assert verify_trail(keys=own_keys(), using=long_trail).ok
    guards.remove(connections[long_trail])
    chance = random.Random(20260301)
    edits = [chance.choice(CHEAP) for _ in range(960)] + [COSTLY[number % len(COSTLY)] for number in range(40)]
    unnoticed = []
    for edit in edits:
        found, what = _found(long_trail, edit, chance)
        if not found:
            unnoticed.append(f"{edit.__name__}: {what}")
    assert unnoticed == []
    guards.install(connections[long_trail])
    assert verify_trail(keys=own_keys(), using=long_trail).ok, "the edits were taken back"


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (edit_text, "edited"),
        (edit_and_rehash, "broken_link"),
        (delete_some, "removed"),
        (cut_tail, "cut"),
        (rewrite_chain, "rewritten"),
        (rewrite_without_checkpoints, "unsigned"),
        (swap_signatures, "checkpoint_signature"),
        (delete_checkpoint, "checkpoint_missing"),
    ],
)
def test_finding_says_what_was_done(long_trail: str, edit: Edit, code: str) -> None:
    guards.remove(connections[long_trail])
    with transaction.atomic(using=long_trail):
        edit(long_trail, random.Random(3))
        verdict = verify_trail(keys=own_keys(), using=long_trail).chain
        transaction.set_rollback(True, using=long_trail)
    assert code in {problem.code for problem in verdict.problems}


@pytest.mark.parametrize("sequence", [1, 20, 57, EVENTS])
def test_first_bad_sequence_is_named(long_trail: str, sequence: int) -> None:
    guards.remove(connections[long_trail])
    AuditEvent.objects.using(long_trail).filter(sequence__in=[sequence, EVENTS]).update(actor="eve")
    first = verify_trail(keys=own_keys(), using=long_trail).chain.first
    assert first is not None
    assert (first.sequence, first.code) == (sequence, "edited")


def _edit_last(alias: str, chance: random.Random) -> str:
    AuditEvent.objects.using(alias).filter(sequence=EVENTS).update(actor="eve")
    return "actor of the last"


def _delete_last_checkpoint(alias: str, chance: random.Random) -> str:
    _sql(alias, "DELETE FROM audit_auditcheckpoint WHERE number = 3")
    return "last checkpoint deleted"


class _Believing:
    """Stands for a public key and believes every signature."""

    def holds(self, signature: bytes, message: bytes) -> bool:
        return True


@pytest.mark.parametrize(
    ("defence", "edit"),
    [("_check_content", _edit_last), ("_check_anchor", _delete_last_checkpoint)],
)
def test_edit_goes_unnoticed_without_its_defence(
    long_trail: str, defence: str, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    guards.remove(connections[long_trail])
    assert _found(long_trail, edit, random.Random(1))[0]
    monkeypatch.setattr(ChainChecker, defence, lambda *arguments: None)
    monkeypatch.setattr(standalone, "CHECKPOINT_EVERY", 1000)  # with no anchor checked, all would count as unsigned
    assert not _found(long_trail, edit, random.Random(1))[0]


def test_rewritten_chain_goes_unnoticed_without_signatures(long_trail: str) -> None:
    guards.remove(connections[long_trail])

    def rewrite_and_adjust(alias: str, chance: random.Random) -> str:
        rewrite_chain(alias, chance)
        for row in AuditCheckpoint.objects.using(alias):
            AuditCheckpoint.objects.using(alias).filter(number=row.number).update(
                hash=AuditEvent.objects.using(alias).get(sequence=row.sequence).hash
            )
        return "rewritten, checkpoints adjusted"

    assert _found(long_trail, rewrite_and_adjust, random.Random(1))[0]
    with transaction.atomic(using=long_trail):
        rewrite_and_adjust(long_trail, random.Random(1))
        believing: Any = {name: _Believing() for name in own_keys()}
        assert verify_trail(keys=believing, using=long_trail).chain.ok
        transaction.set_rollback(True, using=long_trail)


def test_trail_signed_by_an_older_key_needs_both_keys(long_trail: str, settings: Any, tmp_path: Any) -> None:
    old = own_keys()
    settings.CAUSEWAY_AUDIT_KEY_FILE = str(tmp_path / "second.pem")
    checkpoint(using=long_trail)
    new = own_keys()
    assert not verify_trail(keys=old, using=long_trail).ok
    assert not verify_trail(keys=new, using=long_trail).ok
    assert verify_trail(keys=old | new, using=long_trail).ok


def test_verification_from_a_sequence_checks_the_rest_alone(long_trail: str) -> None:
    guards.remove(connections[long_trail])
    AuditEvent.objects.using(long_trail).filter(sequence=50).update(actor="eve")
    assert not verify_trail(keys=own_keys(), first=50, using=long_trail).chain.ok
    verdict = verify_trail(keys=own_keys(), first=51, using=long_trail).chain
    assert verdict.ok and verdict.events == EVENTS - 50
