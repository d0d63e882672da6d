"""Points an application at a database, and tells at which one it points: the one moment that has to be atomic.

A kill at any point leaves the old file or the new one, whole. The content before the switch is kept, and comes back
byte for byte when nobody edited the file in between.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from migrations_app.applications.description import DIALECTS, Dialect, Pointing, PointingValues
from migrations_app.applications.dotenv import effective, with_values
from migrations_app.applications.supervision import write_private
from migrations_app.engine.errors import Failed, Refused

Chosen = Literal["sqlite", "postgresql", "mixed"]
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class SwitchResult:
    """What the switch did. digests are SHA-256 of the file before and after, "" for mechanism environment."""

    dialect: Dialect
    changed: bool
    digest_before: str
    digest_after: str
    old_copy: Path | None
    notes: tuple[str, ...]


def current(pointing: Pointing) -> Chosen:
    """At which database the configuration points now. "mixed" when its keys contradict each other, or name a third.

    An application whose file has none of the keys lives on SQLite: that is how it was found. Raises Refused.
    """
    if pointing.mechanism == "environment":
        return _state(pointing).get("dialect", "sqlite")  # type: ignore[return-value]
    return _says(pointing, _read(_file(pointing)))


def switch(pointing: Pointing, dialect: Dialect, values: PointingValues) -> SwitchResult:
    """Point the application at the dialect's database. Doing it twice changes nothing the second time.

    Raises Refused (nothing was changed) or Failed CONFIGURATION_NOT_WRITTEN (disk full, no right: nothing was changed).
    """
    filled = pointing.filled(dialect, values)
    if pointing.mechanism == "environment":
        changed = current(pointing) != dialect or not pointing.state_file.exists()
        _write_state(pointing, {"dialect": dialect})
        return SwitchResult(dialect, changed, "", "", None, ())
    path = _file(pointing)
    content = _read(path)
    new, notes = _new_content(pointing, dialect, content, filled)
    before, after = digest(content), digest(new)
    if before != after:
        # The state comes before the rename: it names both contents, so it is right whichever of them is there.
        _write_state(pointing, _pair(pointing, dialect, content, new))
        reached("state written")
        replace_content(path, new)
    elif _state(pointing).get("dialect") != dialect:
        _write_state(pointing, {**_state(pointing), "dialect": dialect})
    old_copy = _kept(pointing, "sqlite" if dialect == "postgresql" else "postgresql")
    if (said := current(pointing)) != dialect:
        raise Failed(
            "CONFIGURATION_NOT_SWITCHED",
            f"{path} was written, but reads as {said} instead of {dialect}.",
            "Check the templates of its keys.",
        )
    return SwitchResult(dialect, before != after, before, after, old_copy, notes)


def content_on_sqlite(pointing: Pointing) -> bytes:
    """The file's content that points at SQLite: as it is now, or as it was kept at the switch. Raises Refused."""
    path = _file(pointing)
    content = _read(path)
    if _says(pointing, content) == "sqlite":
        return content
    copy = _kept(pointing, "sqlite")
    if copy is None or not copy.is_file() or _says(pointing, kept := _read(copy)) != "sqlite":
        raise Refused(
            "NO_SQLITE_CONFIGURATION",
            f"{path} does not point at SQLite, and no copy from before a switch is kept.",
            "Point it at SQLite, or write the rollback script before the switch.",
        )
    return kept


def reached(point: str) -> None:
    """Named moments within the switch, for tests that end the process there."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def template_pattern(template: str) -> re.Pattern[str]:
    """What a value made from the template looks like."""
    parts = re.split(r"\{[A-Za-z_]+\}", template)
    return re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)


def _verdict(pointing: Pointing, key: str, value: str) -> Chosen | None:
    """Which dialect this key's value speaks of; None when it could be either (a pool size, a host), or says nothing."""
    if not value.strip():
        return None
    templates = {
        dialect: template.replace("{url}", "postgresql://{rest}").replace("{dialect}", dialect)
        for dialect, template in pointing.keys[key].items()
    }
    if all("://" in templates[dialect] for dialect in DIALECTS):
        scheme = value.partition("://")[0].partition("+")[0].lower()
        return "sqlite" if scheme == "sqlite" else "postgresql" if scheme in ("postgres", "postgresql") else "mixed"
    fits = [dialect for dialect in DIALECTS if template_pattern(templates[dialect]).fullmatch(value.strip())]
    if len(fits) == 2:
        return None
    return fits[0] if fits else "mixed"


def _new_content(
    pointing: Pointing, dialect: Dialect, content: bytes, filled: dict[str, str]
) -> tuple[bytes, tuple[str, ...]]:
    """The way back takes the kept original, when the file is still what we wrote: byte for byte."""
    state = _state(pointing)
    other = "sqlite" if dialect == "postgresql" else "postgresql"
    copy = _kept(pointing, dialect)
    if copy is not None and state.get(f"{other}_digest") == digest(content):
        kept = _read(copy)
        now = effective(kept)
        still_right = dialect == "sqlite" or all(now.get(key) == value for key, value in filled.items())
        if digest(kept) == state[f"{dialect}_digest"] and _says(pointing, kept) == dialect and still_right:
            return kept, ("The file as it was before the switch was put back, byte for byte.",)
    if _says(pointing, content) == dialect and dialect == "sqlite":
        # Already there, in the application's own words (a relative path, say): nothing to correct.
        return content, ()
    edit = with_values(content, filled)
    return edit.content, edit.notes


def _says(pointing: Pointing, content: bytes) -> Chosen:
    values = effective(content)
    verdicts = {
        verdict
        for key in pointing.keys
        if key in values and (verdict := _verdict(pointing, key, values[key])) is not None
    }
    if not verdicts:
        return "sqlite"
    return verdicts.pop() if len(verdicts) == 1 else "mixed"


def _file(pointing: Pointing) -> Path:
    """The real file: a link to it stays a link."""
    if pointing.file is None:
        raise Refused("NO_CONFIGURATION_FILE", "The application has no configuration file set.", "Name one.")
    try:
        path = pointing.file.resolve(strict=True)
        status = path.stat()
    except OSError as error:
        raise Refused(
            "NO_CONFIGURATION_FILE",
            f"{pointing.file} can't be read: {error.strerror}.",
            "Check the path and its rights.",
        ) from None
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
        raise Refused("NO_CONFIGURATION_FILE", f"{path} is not an ordinary configuration file.", "Name the right file.")
    return path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(
            "NO_CONFIGURATION_FILE", f"{path} can't be read: {error.strerror}.", "Check the path and its rights."
        ) from None


def _state(pointing: Pointing) -> dict[str, str]:
    try:
        document = json.loads(pointing.state_file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict) or document.get("dialect") not in DIALECTS:
        raise Failed(
            "STATE_FILE_BROKEN",
            f"{pointing.state_file} does not tell which database was chosen.",
            'Write {"dialect": "sqlite"} or {"dialect": "postgresql"} into it, after looking which one is true.',
        )
    return document


def _write_state(pointing: Pointing, state: dict[str, str]) -> None:
    try:
        pointing.state_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(pointing.state_file, json.dumps(state).encode())
    except OSError as error:
        raise _not_written(pointing.state_file, error) from None


def _pair(pointing: Pointing, dialect: Dialect, old: bytes, new: bytes) -> dict[str, str]:
    """The two contents of a switch, each by digest and kept copy, so that either can come back."""
    other = "sqlite" if dialect == "postgresql" else "postgresql"
    pair = {"dialect": dialect, f"{other}_digest": digest(old), f"{dialect}_digest": digest(new)}
    pair[f"{other}_copy"] = _keep(pointing, old, other).name
    pair[f"{dialect}_copy"] = _keep(pointing, new, dialect).name
    reached("copies kept")
    return pair


def _kept(pointing: Pointing, dialect: str) -> Path | None:
    name = _state(pointing).get(f"{dialect}_copy")
    return pointing.state_file.parent / name if name else None


def _keep(pointing: Pointing, content: bytes, dialect: str) -> Path:
    """Named by its digest, so that no later switch overwrites the original."""
    copy = pointing.state_file.parent / f"configuration-{dialect}-{digest(content)[:12]}"
    try:
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(copy, content)
    except OSError as error:
        raise _not_written(copy, error) from None
    return copy


def replace_content(path: Path, content: bytes) -> None:
    """Atomically: a new file beside it with the same mode and owner, on disk, then renamed over it.

    Raises Failed CONFIGURATION_NOT_WRITTEN; the old content is there then.
    """
    temporary = path.with_name(f".{path.name}.causeway-new")
    status = path.stat()
    try:
        temporary.unlink(missing_ok=True)  # of a switch that was killed
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content[: len(content) // 2])
            handle.flush()
            reached("half written")
            handle.write(content[len(content) // 2 :])
            handle.flush()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle.fileno(), status.st_uid, status.st_gid)
            os.fchmod(handle.fileno(), stat.S_IMODE(status.st_mode))
            os.fsync(handle.fileno())
        reached("written")
        os.rename(temporary, path)
        reached("renamed")
        _fsync_folder(path.parent)
    except OSError as error:
        raise _not_written(path, error) from None


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(path: Path, error: OSError) -> Failed:
    return Failed(
        "CONFIGURATION_NOT_WRITTEN",
        f"{path} could not be written: {error.strerror}. The application points where it pointed.",
        "Check space and rights of the folder, then run the step again.",
    )
