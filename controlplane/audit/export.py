"""Writes the trail, whole or for one application, to files that anyone with the public key can verify."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils import timezone

from controlplane.audit.errors import ExportRefused
from controlplane.audit.models import AuditCheckpoint, CheckpointReason
from controlplane.audit.standalone import CHECKPOINTS, EVENTS, FORMAT, LINK_FIELDS, MANIFEST, canonical, link_of
from controlplane.audit.trail import checkpoint, record, time_text
from controlplane.audit.verify import read_checkpoints, read_events


@dataclass(frozen=True)
class ExportResult:
    """What was written: where, how many events in all, how many with their content, and the hash of the last."""

    path: Path
    events: int
    included: int
    head: str


def export_trail(
    *,
    output: Path,
    actor: AbstractBaseUser | str,
    application: str | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> ExportResult:
    """Writes the trail to the folder `output`, or to one zip file where the name ends in .zip; all or nothing.

    The export itself is the last event of the trail that it contains, and a checkpoint signs it. With `application`
    the events of others keep their place and their digests but not their content.
    Raises ExportRefused, and KeyUnusable.
    """
    part = _prepare(output)
    try:
        with transaction.atomic(using=using):
            record(
                action="audit.exported",
                actor=actor,
                application=application or "",
                payload={"file": output.name, "application": application},
                using=using,
            )
            signed = checkpoint(CheckpointReason.MANUAL, using=using)
        if signed is None:  # the event above is there, so there is a head
            raise ExportRefused("The trail is empty.", hint="There is nothing to export.")
        manifest = _write_files(part, signed, application, using)
        _publish(part, output)
    except OSError as error:
        raise ExportRefused(f"The export can't be written to {output}: {error.strerror}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return ExportResult(output, manifest["events"], manifest["included"], manifest["head"])


def _prepare(output: Path) -> Path:
    """An empty folder beside `output` to write in. Raises ExportRefused."""
    if output.exists() and not (output.is_dir() and output.suffix != ".zip" and not any(output.iterdir())):
        raise ExportRefused(f"{output} exists already.", hint="Name a new folder, or a new file ending in .zip.")
    if not output.parent.is_dir():
        raise ExportRefused(f"The folder {output.parent} does not exist.", hint="Create it first.")
    part = output.parent / f".{output.name}.{os.getpid()}.part"
    try:
        part.mkdir(mode=0o700)
    except OSError as error:
        raise ExportRefused(f"Nothing can be written to {output.parent}: {error.strerror}.") from error
    return part


def _write_files(part: Path, signed: AuditCheckpoint, application: str | None, using: str) -> dict[str, Any]:
    included, head = 0, ""
    digest = hashlib.sha256()
    with open(part / EVENTS, "wb") as stream:
        for event in read_events(first=1, through=signed.sequence, using=using):
            whole = application is None or event.get("application") == application
            included += whole
            head = str(event.get("hash"))
            line = canonical(event if whole else _omitted(event)) + b"\n"
            stream.write(line)
            digest.update(line)
        _sync(stream.fileno())
    checkpoint_digest = _write_lines(part / CHECKPOINTS, read_checkpoints(through=signed.number, using=using))
    manifest = {
        "format": FORMAT,
        "created_at": time_text(timezone.now()),
        "application": application,
        "events": signed.sequence,
        "included": included,
        "head": head,
        "files": {EVENTS: digest.hexdigest(), CHECKPOINTS: checkpoint_digest},
    }
    (part / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="ascii")
    return manifest


def _omitted(event: dict[str, Any]) -> dict[str, Any]:
    """An event's place in the chain without its content. A row that can't be read stays as it is, for the check."""
    try:
        link = link_of(event)
    except (KeyError, TypeError, ValueError):
        return {"sequence": event["sequence"]}
    return {**{name: link[name] for name in LINK_FIELDS}, "hash": event["hash"], "omitted": True}


def _write_lines(path: Path, mappings: Iterable[dict[str, Any]]) -> str:
    """Writes JSON Lines; returns their SHA-256."""
    digest = hashlib.sha256()
    with open(path, "wb") as stream:
        for mapping in mappings:
            line = canonical(mapping) + b"\n"
            stream.write(line)
            digest.update(line)
        _sync(stream.fileno())
    return digest.hexdigest()


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


def _publish(part: Path, output: Path) -> None:
    """Gives the finished export its name, in one step."""
    if output.suffix != ".zip":
        part.rename(output)
        return
    packed = part / "packed.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (EVENTS, CHECKPOINTS, MANIFEST):
            archive.write(part / name, name)
    packed.rename(output)
