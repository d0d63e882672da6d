"""Verifies the trail in the database. Exit status: 0 it holds, 1 it is broken, 2 refused."""

import getpass
import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from controlplane.audit.errors import AuditError
from controlplane.audit.signing import QuickKey
from controlplane.audit.standalone import PublicKey, Refused, load_public_keys
from controlplane.audit.verify import TrailVerdict, own_keys, verify_and_record, verify_trail


class Command(BaseCommand):
    help = "Verify the audit trail: every event's hash, the chain, the signed checkpoints, the database's guards."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--public-key",
            type=Path,
            action="append",
            metavar="FILE",
            help="PEM file with the public key (repeat for older keys); else the key of this installation",
        )
        parser.add_argument("--from", dest="first", type=int, default=1, metavar="N", help="begin at event N")
        parser.add_argument("--json", action="store_true", help="the verdict as JSON")
        parser.add_argument("--no-record", action="store_true", help="write no event about this verification")

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = _verify(options)
        if options["json"]:
            facts = {"ok": verdict.ok, "missing_guards": verdict.missing_guards, **asdict(verdict.chain)}
            self.stdout.write(json.dumps(facts, indent=2))
        elif verdict.ok:
            self._say_fine(verdict)
        if not verdict.ok:
            raise CommandError(_complaint(verdict), returncode=1)

    def _say_fine(self, verdict: TrailVerdict) -> None:
        chain = verdict.chain
        signed = (
            f"signed through {chain.signed_through} at {chain.signed_at}" if chain.signed_through else "unsigned yet"
        )
        since = f" from {verdict.first} on" if verdict.first > 1 else ""
        self.stdout.write(f"OK: {chain.events} events{since}, {signed}. Head {chain.head}.")


def _verify(options: dict[str, Any]) -> TrailVerdict:
    if options["first"] < 1:
        raise CommandError("REFUSED: --from must be 1 or more.", returncode=2)
    try:
        keys = _keys(options["public_key"])
        if options["no_record"]:
            return verify_trail(keys=keys, first=options["first"])
        return verify_and_record(actor=f"cli:{getpass.getuser()}", keys=keys, first=options["first"])
    except AuditError as error:
        raise CommandError(f"REFUSED ({error.code}): {error.message} {error.hint}", returncode=2) from error
    except (Refused, OSError) as error:
        raise CommandError(f"REFUSED: the public key can't be read: {error}", returncode=2) from error
    except DatabaseError as error:
        text = "REFUSED: the trail can't be read. Is the database there, and has `migrate` been run?"
        raise CommandError(text, returncode=2) from error


def _keys(files: list[Path] | None) -> dict[str, PublicKey]:
    if not files:
        return own_keys()
    return {name: QuickKey(key.raw) for file in files for name, key in load_public_keys(file.read_bytes()).items()}


def _complaint(verdict: TrailVerdict) -> str:
    lines: list[str] = []
    if verdict.chain.first is not None:
        ordered = sorted(verdict.chain.problems, key=lambda problem: problem.sequence)
        lines += [f"BROKEN at event {one.sequence} ({one.code}): {one.message}" for one in ordered]
    if verdict.missing_guards:
        lines.append(f"UNGUARDED: the database lacks the triggers {', '.join(verdict.missing_guards)}.")
    return "\n".join(lines)
