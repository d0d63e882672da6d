"""Verifies an audit trail or an evidence bundle without the product: `python standalone.py FILE --public-key KEY`.

For an auditor. One file that can be read: it needs Python 3.11 and nothing but Python's standard library, no database,
no configuration and no secret. The public key must come to the auditor on another way than the export does, else it
proves nothing; the same holds for this file where it lies in the bundle that it is to judge.
The product itself hashes and checks with the functions of this file, so there is one definition of the chain.
docs/reference/audit.md and evidence-bundle.md describe the formats, exactly enough to write another verifier.

Exit status: 0 the trail holds, 1 it is broken (the first bad sequence is named), 2 refused (nothing was checked).
"""

import argparse
import base64
import binascii
import hashlib
import io
import json
import re
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

FORMAT: Final = "causeway audit export 1"
GENESIS: Final = "0" * 64
BODY_FIELDS: Final = (
    "at",
    "actor",
    "role",
    "action",
    "object_type",
    "object_id",
    "object",
    "application",
    "payload",
    "salt",
)
LINK_FIELDS: Final = ("sequence", "previous_hash", "after_checkpoint", "application_tag", "body_digest")
CHECKPOINT_FIELDS: Final = ("number", "sequence", "hash", "signed_at", "reason", "key_fingerprint")
# The most events that may follow the last checkpoint before the tail counts as unsigned.
CHECKPOINT_EVERY: Final = 100
MAX_LINE: Final = 1024 * 1024
MAX_PROBLEMS: Final = 20
EVENTS, CHECKPOINTS, MANIFEST = "events.jsonl", "checkpoints.jsonl", "manifest.json"
BUNDLE_FORMAT: Final = "causeway evidence bundle 1"
TRAIL_FOLDER: Final = "audit/"
CONTENT, PAGE, PRINT = "certificate/certificate.json", "certificate/certificate.html", "certificate/certificate.pdf"
PLAN: Final = "plan.json"
MAX_DOCUMENT: Final = 256 * 1024 * 1024


# --- The format ------------------------------------------------------------------------------------------------------


def canonical(value: object) -> bytes:
    """JSON in one possible spelling: sorted keys, no spaces, ASCII only, no NaN. Raises ValueError or TypeError."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def _digest(domain: str, value: object) -> str:
    """SHA-256 as hex over a line that names what is hashed, so that one kind can't pass for another, and the JSON."""
    return hashlib.sha256(domain.encode("ascii") + b"\n" + canonical(value)).hexdigest()


def application_tag(sequence: object, application: object) -> str:
    """Says to whoever knows an application's name whether an event is of it, and nothing to anyone else's eye."""
    return _digest("causeway audit application 1", [sequence, application])


def body_digest(event: Mapping[str, Any]) -> str:
    """The digest of what an event says. `salt` (random) keeps others from guessing the content from the digest."""
    return _digest("causeway audit body 1", {name: event[name] for name in BODY_FIELDS})


def link_hash(link: Mapping[str, Any]) -> str:
    """The hash of an event from its place in the chain and the digest of its content."""
    return _digest("causeway audit event 1", {name: link[name] for name in LINK_FIELDS})


def link_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """The chained part of an event; what an export keeps of an event whose content it leaves out."""
    return {
        "sequence": event["sequence"],
        "previous_hash": event["previous_hash"],
        "after_checkpoint": event["after_checkpoint"],
        "application_tag": application_tag(event["sequence"], event["application"]),
        "body_digest": body_digest(event),
    }


def event_hash(event: Mapping[str, Any]) -> str:
    """The hash that an event must carry."""
    return link_hash(link_of(event))


def checkpoint_message(checkpoint: Mapping[str, Any]) -> bytes:
    """The bytes that a checkpoint's Ed25519 signature covers."""
    return b"causeway audit checkpoint 1\n" + canonical({name: checkpoint[name] for name in CHECKPOINT_FIELDS})


def fingerprint(raw: bytes) -> str:
    """SHA-256, as hex, of the 32 bytes of the public key."""
    return hashlib.sha256(raw).hexdigest()


# --- Ed25519 (RFC 8032), the verifying half: about 5 ms a signature -------------------------------------------------

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT: Final = pow(2, (_P - 1) // 4, _P)  # of -1
# A point is (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z.
_Point = tuple[int, int, int, int]


def _add(one: _Point, other: _Point) -> _Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(number: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = _add(total, point)
        point = _add(point, point)
        number >>= 1
    return total


def _decode(raw: bytes) -> _Point | None:
    """The point that 32 bytes stand for; None where they stand for none."""
    y = int.from_bytes(raw, "little")
    odd, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and odd):
        return None
    x = _P - x if x & 1 != odd else x
    return x, y, 1, x * y % _P


def _encode(point: _Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE: Final = _decode(bytes.fromhex("58" + "66" * 31)) or (0, 0, 0, 0)


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key, as its 32 bytes."""

    raw: bytes

    def holds(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature over the message was made with the private half of this key."""
        point = _decode(self.raw) if len(self.raw) == 32 else None
        scalar = int.from_bytes(signature[32:], "little")
        if point is None or len(signature) != 64 or scalar >= _ORDER:  # a larger one would be a second spelling
            return False
        challenge = hashlib.sha512(signature[:32] + self.raw + message).digest()
        minus = (_P - point[0], point[1], 1, _P - point[3])
        number = int.from_bytes(challenge, "little") % _ORDER
        return _encode(_add(_times(scalar, _BASE), _times(number, minus))) == signature[:32]


# --- The check -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: at which event, a stable code, a sentence."""

    sequence: int
    code: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """What a verification found. `signed_through` is the last event under a valid signature (0: none)."""

    problems: tuple[Problem, ...]
    events: int
    head: str
    signed_through: int
    signed_at: str

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def first(self) -> Problem | None:
        return min(self.problems, key=lambda problem: problem.sequence, default=None)


@dataclass(frozen=True)
class _Anchor:
    """A checkpoint as the check needs it; `valid` when its number, place and signature hold."""

    number: int
    sequence: int
    hash: str
    signed_at: str
    valid: bool


@dataclass
class ChainChecker:
    """Feeds on events in order, one at a time, in constant memory; `finish()` gives the verdict.

    checkpoints: all of them, ordered by number (a hundredth of the events at most, so they are held in memory).
    keys: public keys by fingerprint. first, previous: where to begin, and the hash of the event before it, when a
    part only is checked. application: the one that the export is limited to, None for a whole trail.
    whole_tail_signed: an export ends in a checkpoint; a live trail may have up to CHECKPOINT_EVERY events after one.
    """

    checkpoints: Iterable[Mapping[str, Any]]
    keys: Mapping[str, PublicKey]
    first: int = 1
    previous: str = GENESIS
    application: str | None = None
    whole_tail_signed: bool = False
    problems: list[Problem] = field(default_factory=list)
    events: int = 0

    def __post_init__(self) -> None:
        self._next = self.first
        self._anchors: list[_Anchor] = []
        self._position = 0
        self._signed: _Anchor | None = None
        for checkpoint in self.checkpoints:
            self._add_anchor(checkpoint)

    def report(self, sequence: int, code: str, message: str) -> None:
        """Keeps the first MAX_PROBLEMS problems; after that the trail is broken enough."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(sequence, code, message))

    def _add_anchor(self, checkpoint: Mapping[str, Any]) -> None:
        last = self._anchors[-1] if self._anchors else _Anchor(0, 0, GENESIS, "", True)
        complaint = self._complaint(checkpoint, last)
        sequence, number = checkpoint.get("sequence"), checkpoint.get("number")
        at = sequence if type(sequence) is int else last.sequence
        if complaint is not None:
            self.report(at, *complaint)
        self._anchors.append(
            _Anchor(
                number=number if type(number) is int else last.number + 1,
                sequence=max(at, last.sequence),
                hash=str(checkpoint.get("hash")),
                signed_at=str(checkpoint.get("signed_at")),
                valid=complaint is None,
            )
        )

    def _complaint(self, checkpoint: Mapping[str, Any], last: _Anchor) -> tuple[str, str] | None:
        """The code and the sentence of what is wrong with a checkpoint; None where it holds."""
        expected = last.number + 1
        try:
            message = checkpoint_message(checkpoint)
            signature = bytes.fromhex(checkpoint["signature"])
        except (KeyError, TypeError, ValueError, RecursionError):
            return "checkpoint_unreadable", f"Checkpoint {expected} can't be read."
        number, sequence = checkpoint["number"], checkpoint["sequence"]
        if type(sequence) is not int or type(number) is not int:
            return "checkpoint_unreadable", f"Checkpoint {expected} has no number, or names no event."
        key = self.keys.get(str(checkpoint["key_fingerprint"]))
        if key is None:
            shown = str(checkpoint["key_fingerprint"])[:16]
            return "checkpoint_key", f"Checkpoint {number} was signed by a key that was not given ({shown}…)."
        if not key.holds(signature, message):
            return "checkpoint_signature", f"The signature of checkpoint {number} (event {sequence}) does not hold."
        if number != expected:
            return "checkpoint_missing", f"Checkpoint {expected} is missing; number {number} stands in its place."
        if sequence <= last.sequence:
            return "checkpoint_order", f"Checkpoint {number} goes back from event {last.sequence} to {sequence}."
        return None

    def feed(self, event: Mapping[str, Any]) -> None:
        """Checks one event against the one before it, its own hash, and the checkpoint at its place."""
        self.events += 1
        expected = self._next
        sequence = event.get("sequence")
        if type(sequence) is not int:
            self.report(expected, "unreadable", f"Where event {expected} belongs stands one without a sequence.")
            return
        if sequence > expected:
            missing = f"event {expected} is" if sequence == expected + 1 else f"events {expected} to {sequence - 1} are"
            self.report(expected, "removed", f"{missing.capitalize()} missing; event {sequence} comes next.")
        elif sequence < expected:
            self.report(sequence, "reordered", f"Event {sequence} comes where event {expected} belongs.")
        elif event.get("previous_hash") != self.previous:
            self.report(sequence, "broken_link", f"Event {sequence} does not follow on the one before it.")
        self._check_content(event, sequence)
        self._check_anchor(event, sequence)
        self.previous = str(event.get("hash"))
        self._next = sequence + 1

    def _check_content(self, event: Mapping[str, Any], sequence: int) -> None:
        try:
            omitted = event.get("omitted") is True
            computed = link_hash(event) if omitted else event_hash(event)
            if self.application is None:
                misplaced = omitted
            else:
                tag = event["application_tag"] if omitted else application_tag(sequence, event["application"])
                misplaced = omitted == (tag == application_tag(sequence, self.application))
        except (KeyError, TypeError, ValueError, RecursionError):
            self.report(sequence, "unreadable", f"Event {sequence} can't be read: a field is missing or misshapen.")
            return
        if computed != event.get("hash"):
            self.report(sequence, "edited", f"Event {sequence} was changed: what it says does not give its hash.")
        elif misplaced and omitted:
            self.report(
                sequence, "hidden", f"The content of event {sequence} belongs into this export and was left out."
            )
        elif misplaced:
            self.report(sequence, "foreign", f"Event {sequence} is of another application than this export.")

    def _check_anchor(self, event: Mapping[str, Any], sequence: int) -> None:
        while self._position < len(self._anchors) and self._anchors[self._position].sequence < sequence:
            self._position += 1
        before = self._anchors[self._position - 1].number if self._position else 0
        # Each event says how many checkpoints there were: so not even the last one can be taken away unseen.
        if event.get("after_checkpoint") != before:
            stated = event.get("after_checkpoint")
            message = f"Event {sequence} was written after checkpoint {stated!r}, but {before} is the last before it."
            self.report(sequence, "checkpoint_missing", message)
        if self._position == len(self._anchors) or self._anchors[self._position].sequence != sequence:
            return
        anchor = self._anchors[self._position]
        if not anchor.valid:
            return
        if anchor.hash == event.get("hash"):
            self._signed = anchor
        else:
            message = (
                f"Event {sequence} is not the one that checkpoint {anchor.number} signed: the chain was rewritten."
            )
            self.report(sequence, "rewritten", message)

    def finish(self) -> Verdict:
        """The verdict, after a look for a cut or unsigned tail."""
        last = self._next - 1
        for anchor in self._anchors:
            if anchor.valid and anchor.sequence > last:
                message = (
                    f"The trail ends at event {last}, but checkpoint {anchor.number} signed event {anchor.sequence}."
                )
                self.report(last + 1, "cut", message)
                break
        signed = self._signed.sequence if self._signed else 0
        unsigned = last - max(signed, self.first - 1)
        if unsigned > (0 if self.whole_tail_signed else CHECKPOINT_EVERY):
            self.report(signed + 1, "unsigned", f"The last {unsigned} events are under no valid signature.")
        return Verdict(
            problems=tuple(self.problems),
            events=self.events,
            head=self.previous,
            signed_through=signed,
            signed_at=self._signed.signed_at if self._signed else "",
        )


# --- Reading an export -----------------------------------------------------------------------------------------------


class Refused(Exception):
    """The export or the key can't be read at all; nothing was verified."""


# How RFC 8410 wraps the 32 bytes of an Ed25519 public key.
_WRAPPING: Final = bytes.fromhex("302a300506032b6570032100")


def load_public_keys(pem: bytes) -> dict[str, PublicKey]:
    """Keys by fingerprint from a PEM text with one or more public keys (older keys stay valid). Raises Refused."""
    keys: dict[str, PublicKey] = {}
    for block in re.findall(rb"-----BEGIN PUBLIC KEY-----(.*?)-----END PUBLIC KEY-----", pem, re.DOTALL):
        try:
            wrapped = base64.b64decode(b"".join(block.split()), validate=True)
        except binascii.Error as error:
            raise Refused("The public key file holds a block that is no public key.") from error
        raw = wrapped[len(_WRAPPING) :]
        if not wrapped.startswith(b"\x30"):
            raise Refused("The public key file holds a block that is no public key.")
        if not wrapped.startswith(_WRAPPING) or len(raw) != 32:
            raise Refused("The public key is not an Ed25519 key.")
        keys[fingerprint(raw)] = PublicKey(raw)
    if not keys:
        raise Refused("The public key file holds no PEM public key.")
    return keys


def parse_line(line: bytes) -> dict[str, Any]:
    """One event or checkpoint. Only the canonical spelling counts: no second key may hide behind an equal one."""
    value = json.loads(line)
    if not isinstance(value, dict) or canonical(value) != line.rstrip(b"\n"):
        raise ValueError("not in canonical form")
    return value


def _lines(stream: IO[bytes], digest: "hashlib._Hash") -> Iterator[dict[str, Any]]:
    """Lines as mappings; a line that can't be read becomes an empty mapping, which the check reports in its place."""
    while line := stream.readline(MAX_LINE + 1):
        digest.update(line)
        try:
            yield parse_line(line)
        except (ValueError, RecursionError):
            yield {}


@contextmanager
def _open(export: Path, name: str) -> Iterator[IO[bytes]]:
    """A file of the export, which is a folder or a zip file. Raises Refused."""
    try:
        if export.is_dir():
            with open(export / name, "rb") as stream:
                yield stream
        else:
            with zipfile.ZipFile(export) as archive, archive.open(name) as stream:
                yield io.BufferedReader(stream)  # type: ignore[type-var]
    except (OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise Refused(f"{name} can't be read in {export}: {type(error).__name__}.") from error


def _read_json(export: Path, name: str) -> dict[str, Any]:
    with _open(export, name) as stream:
        text = stream.read(MAX_DOCUMENT)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name} is no JSON.") from error
    if not isinstance(document, dict):
        raise Refused(f"{name} is no JSON object.")
    return document


def _require_format(manifest: Mapping[str, Any], *formats: str) -> None:
    if manifest.get("format") not in formats:
        raise Refused(f"{MANIFEST} is not of the format {' or '.join(map(repr, formats))}.")


def verify_export(
    export: Path,
    keys: Mapping[str, PublicKey],
    *,
    expect: tuple[int, str] | None = None,
    folder: str = "",
    watch: Callable[[Mapping[str, Any]], None] | None = None,
) -> tuple[Verdict, dict[str, Any]]:
    """Verifies an export. `expect`: a sequence and hash noted earlier, which the trail must still contain.

    folder: where in `export` the trail lies, '' or ending in a slash. watch: is shown every event that was read.
    """
    manifest = _read_json(export, folder + MANIFEST)
    _require_format(manifest, FORMAT)
    checkpoint_digest, event_digest = hashlib.sha256(), hashlib.sha256()
    with _open(export, folder + CHECKPOINTS) as stream:
        checkpoints = list(_lines(stream, checkpoint_digest))
    checker = ChainChecker(checkpoints, keys, application=manifest.get("application"), whole_tail_signed=True)
    seen = expect is None
    with _open(export, folder + EVENTS) as stream:
        for event in _lines(stream, event_digest):
            checker.feed(event)
            if watch is not None:
                watch(event)
            seen = seen or (event.get("sequence"), event.get("hash")) == expect
    if expect is not None and not seen:
        checker.report(expect[0], "expected", f"Event {expect[0]} is not there with the hash that you noted.")
    verdict = checker.finish()
    stated = manifest.get("files")
    found = {EVENTS: event_digest.hexdigest(), CHECKPOINTS: checkpoint_digest.hexdigest()}
    if stated != found or manifest.get("head") != verdict.head or manifest.get("events") != verdict.events:
        checker.report(verdict.events + 1, "manifest", "The manifest does not describe these files.")
        verdict = checker.finish() if verdict.ok else verdict
    return verdict, manifest


# --- An evidence bundle: the trail, a run's certificate, and what the certificate names -------------------------------


@dataclass(frozen=True)
class FileProblem:
    """One thing that is wrong with a bundle: in which file, a stable code, a sentence."""

    name: str
    code: str
    message: str


@dataclass(frozen=True)
class BundleVerdict:
    """What a verification of a bundle found."""

    trail: Verdict
    problems: tuple[FileProblem, ...]
    run: int
    application: str
    files: int

    @property
    def ok(self) -> bool:
        return self.trail.ok and not self.problems


def contents_digest(files: Mapping[str, str]) -> str:
    """What the trail says of a bundle: one digest over the names and SHA-256 of all files but the trail itself."""
    own = {name: digest for name, digest in files.items() if not name.startswith(TRAIL_FOLDER)}
    return _digest("causeway bundle contents 1", own)


def plan_digest(plan: Mapping[str, Any]) -> str:
    """The digest of a plan, from its document: of what will be done, not of how findings are worded or counted."""
    body = {name: value for name, value in plan.items() if name != "digest"}
    body["findings"] = [{**finding, "count": 0, "row_key": "", "message": ""} for finding in body["findings"]]
    return hashlib.sha256(canonical(body)).hexdigest()


def evidence_name(position: int, name: str) -> str:
    """Where the bundle keeps what a step proved."""
    return f"evidence/{position:02d}-{name}.json"


class BundleChecker:
    """Checks a bundle from its files inwards: each is the one that the manifest names, the certificate is the one that
    the signed trail names, and plan, evidence, files and signatures are those that the certificate names."""

    def __init__(self, bundle: Path, keys: Mapping[str, PublicKey]) -> None:
        self._bundle, self._keys = bundle, keys
        self._events: list[Mapping[str, Any]] = []
        self.problems: list[FileProblem] = []
        self.manifest: dict[str, Any] = {}

    def check(self, expect: tuple[int, str] | None = None) -> BundleVerdict:
        """The verdict. Raises Refused where manifest or trail can't be read at all."""
        self.manifest = _read_json(self._bundle, MANIFEST)
        _require_format(self.manifest, BUNDLE_FORMAT)
        found = self._check_files()
        verdict, trail = verify_export(
            self._bundle, self._keys, expect=expect, folder=TRAIL_FOLDER, watch=self._remember
        )
        run, application = self.manifest.get("run"), self.manifest.get("application")
        if trail.get("application") not in (None, application):
            self._report(TRAIL_FOLDER, "other_application", "The trail is of another application than the bundle.")
        self._check_contents(found)
        try:
            self._check_certificate(found)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, Refused):
            self._report(CONTENT, "unreadable", "The certificate, or a file that it is compared with, can't be read.")
        return BundleVerdict(
            trail=verdict,
            problems=tuple(self.problems[:MAX_PROBLEMS]),
            run=run if type(run) is int else 0,
            application=str(application),
            files=len(found),
        )

    def _report(self, name: str, code: str, message: str) -> None:
        self.problems.append(FileProblem(name, code, message))

    def _remember(self, event: Mapping[str, Any]) -> None:
        payload = event.get("payload")
        if isinstance(payload, dict) and payload.get("run") == self.manifest.get("run"):
            self._events.append(event)

    def _names(self) -> list[str]:
        if self._bundle.is_dir():
            files = (path for path in self._bundle.rglob("*") if path.is_symlink() or not path.is_dir())
            return [path.relative_to(self._bundle).as_posix() for path in files]
        with zipfile.ZipFile(self._bundle) as archive:
            return [entry.filename for entry in archive.infolist()]

    def _check_files(self) -> dict[str, str]:
        """Every file is there once, and is the one that the manifest names. Returns the digests found."""
        stated = self.manifest.get("files")
        stated = stated if isinstance(stated, dict) else {}
        counted = Counter(self._names())
        for name, times in counted.items():
            if times > 1:
                self._report(name, "file_twice", f"{name} is there {times} times: who reads it may see another one.")
            if name not in stated and name != MANIFEST:
                self._report(name, "file_added", f"{name} is not in the manifest.")
        found = {}
        for name, digest in stated.items():
            if name not in counted:
                self._report(name, "file_missing", f"{name} is missing.")
                continue
            found[name] = self._sha256(name)
            if found[name] != digest:
                self._report(name, "file_changed", f"{name} is not the file that the manifest names.")
        return found

    def _sha256(self, name: str) -> str:
        digest = hashlib.sha256()
        try:
            with _open(self._bundle, name) as stream:
                while chunk := stream.read(MAX_LINE):
                    digest.update(chunk)
        except Refused:
            return "unreadable"
        return digest.hexdigest()

    def _last(self, action: str) -> Mapping[str, Any]:
        payloads = [event["payload"] for event in self._events if event.get("action") == action]
        return payloads[-1] if payloads else {}

    def _check_contents(self, found: Mapping[str, str]) -> None:
        if self._last("certificate.bundled").get("contents") != contents_digest(found):
            self._report(MANIFEST, "contents", "The signed trail names another set of files for this bundle.")

    def _check_certificate(self, found: Mapping[str, str]) -> None:
        issued = self._last("certificate.issued")
        for part, name in (("content", CONTENT), ("html", PAGE), ("pdf", PRINT)):
            if issued.get(part) != found.get(name):
                self._report(name, "certificate", f"{name} is not the one that the signed trail names.")
        content = _read_json(self._bundle, CONTENT)
        if content["run"]["number"] != self.manifest.get("run"):
            self._report(CONTENT, "certificate", "The certificate is of another run than the bundle.")
        if content["application"]["name"] != self.manifest.get("application"):
            self._report(CONTENT, "certificate", "The certificate is of another application than the bundle.")
        plan = _read_json(self._bundle, PLAN)
        if plan_digest(plan) != content["plan"]["digest"]:
            self._report(PLAN, "plan", "The plan is not the one that the certificate names.")
        for step in content["steps"]:
            self._check_evidence(step, found)
        for item in content["checklist"]:
            for result in item["results"]:
                for file in result["files"]:
                    self._check_attachment(file, found)
        for gate in content["decisions"]["gates"]:
            for signature in gate["signatures"]:
                self._check_signature(gate["code"], signature)

    def _check_evidence(self, step: Mapping[str, Any], found: Mapping[str, str]) -> None:
        name = evidence_name(step["position"], step["name"])
        if step["file"] and found.get(name) != step["file"]:
            self._report(name, "evidence", f"What step {step['title']} proved is not what the certificate names.")
        if step["file"] and step["file"] != step["evidence"]:
            self._report(name, "evidence", f"What step {step['title']} proved was changed before the certificate.")

    def _check_attachment(self, file: Mapping[str, Any], found: Mapping[str, str]) -> None:
        name = f"attachments/{file['sha256']}"
        if found.get(name) != file["sha256"]:
            self._report(
                name, "attachment", f"The file {file['name']} that was given as evidence is not the one named."
            )

    def _check_signature(self, gate: str, signature: Mapping[str, Any]) -> None:
        """Each signature and refusal of the certificate has its event; its digests are those that were signed."""
        refused = signature["state"] == "refusal"
        wanted = {"gate": gate}
        if not refused:
            wanted |= {"plan": signature["plan_digest"], "evidence": signature["evidence_digest"]}
        for event in self._events:
            if event.get("action") != ("gate.refused" if refused else "gate.signed"):
                continue
            if (event.get("actor"), event.get("role")) != (signature["name"], signature["role"]):
                continue
            payload = event["payload"]
            if all(payload.get(name) == value for name, value in wanted.items()):
                return
        who = f"{signature['name']} as {signature['role_title']}"
        self._report(CONTENT, "signature", f"The trail has no event for the signature of {who} at gate {gate}.")


def _expectation(text: str) -> tuple[int, str]:
    sequence, _, digest = text.partition(":")
    if not sequence.isdigit() or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise argparse.ArgumentTypeError("give SEQUENCE:HASH, the hash as 64 hex digits")
    return int(sequence), digest


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Verify an exported audit trail, or a run's evidence bundle.")
    parser.add_argument("export", type=Path, help="the folder or zip file")
    parser.add_argument("--public-key", type=Path, required=True, help="PEM file, brought on another way")
    parser.add_argument("--expect", type=_expectation, help="SEQUENCE:HASH noted earlier")
    options = parser.parse_args(arguments)
    try:
        keys = load_public_keys(options.public_key.read_bytes())
        if _read_json(options.export, MANIFEST).get("format") == BUNDLE_FORMAT:
            return _say_bundle(BundleChecker(options.export, keys).check(options.expect))
        verdict, manifest = verify_export(options.export, keys, expect=options.expect)
    except OSError as error:
        print(f"REFUSED: {options.public_key}: {error.strerror}.", file=sys.stderr)
        return 2
    except Refused as refusal:
        print(f"REFUSED: {refusal}", file=sys.stderr)
        return 2
    scope = f"application {manifest['application']}" if manifest.get("application") else "the whole trail"
    return _say_trail(verdict, scope)


def _say_trail(verdict: Verdict, scope: str) -> int:
    if verdict.first is not None:
        print(f"BROKEN at event {verdict.first.sequence} ({verdict.first.code}): {verdict.first.message}")
        for problem in sorted(verdict.problems, key=lambda one: one.sequence)[1:]:
            print(f"  also at event {problem.sequence} ({problem.code}): {problem.message}")
        return 1
    print(f"OK: {verdict.events} events ({scope}), signed through {verdict.signed_through} at {verdict.signed_at}.")
    print(f"Note for next time: --expect {verdict.events}:{verdict.head}")
    return 0


def _say_bundle(verdict: BundleVerdict) -> int:
    for problem in verdict.problems:
        print(f"BROKEN in {problem.name} ({problem.code}): {problem.message}")
    if not verdict.problems and verdict.trail.ok:
        print(f"OK: {verdict.files} files of run {verdict.run} of {verdict.application}, certificate and evidence.")
    return max(_say_trail(verdict.trail, f"application {verdict.application}"), 1 if verdict.problems else 0)


if __name__ == "__main__":
    sys.exit(main())
