"""Files that people give as evidence: what may come in, where it is kept, and how it is given out again.

The type is told by the content, from a short list; the name must agree with it. A file lies under its SHA-256 in the
run's folder, which the web serves nothing from, and is hashed again each time that it is given out.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from django.core.files.uploadedfile import UploadedFile
from django.db.models import Sum

from migrations_app.models import MigrationRun, ResultFile
from migrations_app.services.errors import ServiceRefused
from migrations_app.steps.workplace import run_directory

Upload: TypeAlias = "UploadedFile[bytes]"
MAX_BYTES = 10_000_000  # a file
MAX_FILES = 5  # a result
MAX_RUN_BYTES = 500_000_000  # all files of a run
_NAME_LENGTH = 120
_TEXT = "text/plain"
# What each type begins with, and which endings its name may have.
_BEGINNINGS: tuple[tuple[str, bytes, int, tuple[str, ...]], ...] = (
    ("image/png", b"\x89PNG\r\n\x1a\n", 0, (".png",)),
    ("image/jpeg", b"\xff\xd8\xff", 0, (".jpg", ".jpeg")),
    ("image/gif", b"GIF8", 0, (".gif",)),
    ("image/webp", b"WEBP", 8, (".webp",)),
    ("application/pdf", b"%PDF-", 0, (".pdf",)),
    ("video/mp4", b"ftyp", 4, (".mp4", ".mov")),
    ("video/webm", b"\x1a\x45\xdf\xa3", 0, (".webm",)),
)
_TEXT_ENDINGS = (".txt", ".log", ".csv", ".json", ".har", ".md")
ENDINGS = tuple(ending for *_, endings in _BEGINNINGS for ending in endings) + _TEXT_ENDINGS


@dataclass(frozen=True)
class KeptFile:
    """A file that is on disk now, and not yet a row."""

    name: str
    content_type: str
    size: int
    sha256: str


def keep_files(run: MigrationRun, uploads: Sequence[Upload]) -> tuple[KeptFile, ...]:
    """Check and store them; a file that was there already is the same file.

    Raises ServiceRefused TOO_MANY_FILES, FILE_TOO_LARGE, FILE_EMPTY, FILE_TYPE, FILES_FULL, FILE_NOT_KEPT. What was
    stored before a refusal stays: no row names it, and a second try finds it.
    """
    if len(uploads) > MAX_FILES:
        raise ServiceRefused("TOO_MANY_FILES", f"At most {MAX_FILES} files with one result.", status=400)
    used = ResultFile.objects.filter(result__item__run=run).aggregate(bytes=Sum("size"))["bytes"] or 0
    if used + sum(upload.size or 0 for upload in uploads) > MAX_RUN_BYTES:
        raise ServiceRefused(
            "FILES_FULL",
            f"The files of run {run.pk} would be more than {MAX_RUN_BYTES // 1_000_000} MB together.",
            hint="Give a link instead.",
            status=413,
        )
    return tuple(_keep(run, upload) for upload in uploads)


def path_of(run: MigrationRun, sha256: str) -> Path:
    """Where a file of that digest lies."""
    return run_directory(run) / "evidence" / sha256


def open_file(run: MigrationRun, row: ResultFile) -> BinaryIO:
    """The file, hashed again. Raises ServiceRefused FILE_DAMAGED where it isn't what was recorded."""
    path = path_of(run, row.sha256)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == row.sha256:
            return path.open("rb")
    except OSError:
        pass  # as if it were another file: both mean that the evidence is gone
    raise ServiceRefused(
        "FILE_DAMAGED",
        f"{row.name} is no longer the file that was recorded: it is gone or was changed on disk.",
        hint="Bring the artefacts' folder back from its backup; its SHA-256 is in the audit trail.",
        status=410,
    )


def _keep(run: MigrationRun, upload: Upload) -> KeptFile:
    name = clean_name(upload.name or "")
    size = upload.size or 0
    if size > MAX_BYTES:
        raise ServiceRefused(
            "FILE_TOO_LARGE",
            f"{name} has {size:,} bytes; {MAX_BYTES:,} are the limit.",
            status=413,
            hint="Give a link.",
        )
    if not size:
        raise ServiceRefused("FILE_EMPTY", f"{name} is empty: it proves nothing.", status=400)
    content_type = _checked_type(name, upload)
    folder = run_directory(run) / "evidence"
    try:
        sha256 = _store(folder, upload)
    except OSError as error:
        raise ServiceRefused(
            "FILE_NOT_KEPT",
            f"{name} could not be stored: {error.strerror}.",
            hint="Nothing was recorded. Look at the disk of the artefacts' folder, or give a link instead.",
            status=507,
        ) from None
    return KeptFile(name, content_type, size, sha256)


def _store(folder: Path, upload: Upload) -> str:
    """Write beside, sync, rename: a file that has its name is whole."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    handle, part = tempfile.mkstemp(prefix="part-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in upload.chunks():
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, folder / digest.hexdigest())
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def clean_name(given: str) -> str:
    """The name without folders, control characters and those that change a text's direction; its ending stays."""
    name = given.replace("\\", "/").rpartition("/")[2]
    name = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C").strip(" .")
    stem, dot, ending = name.rpartition(".")
    if dot and len(name) > _NAME_LENGTH:
        name = stem[: _NAME_LENGTH - len(ending) - 1] + dot + ending
    return name[:_NAME_LENGTH] or "file"


def _checked_type(name: str, upload: Upload) -> str:
    """By its content. Raises ServiceRefused FILE_TYPE, also where name and content disagree."""
    upload.seek(0)
    head = upload.read(16)
    ending = f".{name.lower().rpartition('.')[2]}"
    for content_type, beginning, at, endings in _BEGINNINGS:
        if head[at : at + len(beginning)] == beginning:
            return _agreed(name, content_type, ending in endings)
    if _is_text(upload):
        return _agreed(name, _TEXT, ending in _TEXT_ENDINGS)
    raise _wrong_type(name, "is none of the kinds of file that can be kept")


def _agreed(name: str, content_type: str, agrees: bool) -> str:
    if not agrees:
        raise _wrong_type(name, f"is {content_type} by its content, and its name says otherwise")
    return content_type


def _wrong_type(name: str, why: str) -> ServiceRefused:
    return ServiceRefused(
        "FILE_TYPE",
        f"{name} {why}.",
        hint=f"A picture, a PDF, a recording or text: {', '.join(ENDINGS)}.",
        status=415,
    )


def _is_text(upload: Upload) -> bool:
    """UTF-8 without control characters but those of a log: tab, line ends, and the escape of colours."""
    upload.seek(0)
    try:
        text = upload.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return not any(ord(letter) < 32 and letter not in "\t\n\r\f\x1b" for letter in text)
