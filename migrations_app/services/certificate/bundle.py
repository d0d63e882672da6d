"""The evidence bundle: certificate, plan, evidence, attached files, the trail and its verifier, as one zip file.

It is streamed; its order and its entries' times are fixed. What lies in it is named by digest in the signed trail, so
an auditor with the public key needs nothing of ours to check it. Backups and exports stay out: they are the data.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import transaction

from controlplane.audit import standalone
from controlplane.audit.errors import AuditError
from controlplane.audit.export import export_trail
from controlplane.audit.standalone import (
    BUNDLE_FORMAT,
    CONTENT,
    MANIFEST,
    PAGE,
    PLAN,
    PRINT,
    TRAIL_FOLDER,
    canonical,
    contents_digest,
    evidence_name,
)
from controlplane.audit.trail import record
from controlplane.registry.models import Role
from migrations_app.models import Certificate, MigrationRun, ResultFile
from migrations_app.services.certificate.facts import evidence_file
from migrations_app.services.checklist_files import path_of
from migrations_app.services.errors import Forbidden, ServiceRefused
from migrations_app.services.permissions import roles_of, who_can

CHUNK = 256 * 1024
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the first that zip files know
MAY_EXPORT = (Role.LEAD, Role.QA, Role.OPS)
EXPORT_PERMISSION = "audit.export_auditevent"
README = """\
Evidence of run {run} of {application}, revision {revision} of its certificate.

  certificate/   what was done, by whom, with which proof: HTML, PDF, and the JSON that both say
  plan.json      what was to happen to each table and column
  evidence/      what each step proved; the SHA-256 of a file is the digest in the certificate
  attachments/   files that people gave as evidence, named by their SHA-256
  audit/         the audit trail of the application, chained and signed
  manifest.json  the SHA-256 of every file here

To check it, with Python 3.11 or newer and nothing else:

  python verify.py . --public-key KEY.pem

The public key must have come to you on another way than this bundle, or it proves nothing: ask those who run
Causeway for the output of “python manage.py audit_public_key”, and compare its fingerprint. The same holds for
verify.py: take your own copy of it (controlplane/audit/standalone.py in the product's source) if you can.

The bundle may hold values of the application's data, where a verification found differences or where people wrote
them down. Treat it as confidential.
"""


class Bundle:
    """A bundle that is ready to be sent. Iterate for the zip file's bytes; close() removes what it keeps on disk."""

    def __init__(self, name: str, folder: tempfile.TemporaryDirectory[str], files: dict[str, Path]) -> None:
        self.name = name
        self._folder, self._files = folder, files

    def __iter__(self) -> Iterator[bytes]:
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
            for name, path in self._files.items():
                if not path.exists():
                    continue  # evidence that is gone: the manifest still names it, and the verifier says so
                entry = zipfile.ZipInfo(name, _NO_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                entry.file_size = path.stat().st_size
                with path.open("rb") as source, archive.open(entry, "w") as target:
                    while chunk := source.read(CHUNK):
                        target.write(chunk)
                        yield sink.take()
        yield sink.take()

    def close(self) -> None:
        self._folder.cleanup()


def may_export(user: Any, run: MigrationRun) -> bool:
    """Who works on the application, and whoever has the permission to export the trail."""
    return bool(roles_of(user, run.application) & set(MAY_EXPORT)) or bool(user.has_perm(EXPORT_PERMISSION))


def make_bundle(*, actor: Any, run: MigrationRun) -> Bundle:
    """Collect everything, write into the trail what it is, and export the trail with that as nearly its last event.

    Raises Forbidden, ServiceRefused CERTIFICATE_MISSING, AUDIT_… when the trail can't be exported.
    """
    if not may_export(actor, run):
        raise Forbidden("NOT_ALLOWED", "You can't export the evidence.", who=who_can(run.application, MAY_EXPORT))
    certificate = run.certificates.order_by("-revision").first()
    if certificate is None:
        raise ServiceRefused(
            "CERTIFICATE_MISSING",
            f"Run {run.pk} has no certificate yet.",
            hint="It is issued some seconds after a production run was signed off or rolled back.",
        )
    folder = tempfile.TemporaryDirectory(prefix="causeway-bundle-")
    try:
        return _filled(folder, actor, run, certificate)
    except AuditError as error:
        folder.cleanup()
        raise ServiceRefused(error.code, error.message, hint=error.hint) from None
    except BaseException:
        folder.cleanup()
        raise


def _filled(
    folder: tempfile.TemporaryDirectory[str], actor: Any, run: MigrationRun, certificate: Certificate
) -> Bundle:
    root = Path(folder.name)
    files = _own_files(root, run, certificate)
    digests = {name: _sha256(path) for name, path in files.items()}
    # What was recorded counts, not what lies on the disk now: a file that was changed there must be found.
    digests |= {f"attachments/{row.sha256}": row.sha256 for row in _attached(run)}
    files |= {f"attachments/{row.sha256}": path_of(run, row.sha256) for row in _attached(run)}
    with transaction.atomic():
        record(
            action="certificate.bundled",
            actor=actor,
            obj=certificate,
            application=run.application.name,
            payload={
                "run": run.pk,
                "revision": certificate.revision,
                "files": len(digests),
                "contents": contents_digest(digests),
            },
        )
    export_trail(output=root / "audit", actor=actor, application=run.application.name)
    for path in sorted((root / "audit").iterdir()):
        files[f"{TRAIL_FOLDER}{path.name}"] = path
        digests[f"{TRAIL_FOLDER}{path.name}"] = _sha256(path)
    manifest = {
        "format": BUNDLE_FORMAT,
        "application": run.application.name,
        "run": run.pk,
        "revision": certificate.revision,
        "files": dict(sorted(digests.items())),
    }
    files[MANIFEST] = _written(root, MANIFEST, (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())
    return Bundle(f"evidence-{run.application.name}-run-{run.pk}.zip", folder, files)


def _own_files(root: Path, run: MigrationRun, certificate: Certificate) -> dict[str, Path]:
    """All but the attached files and the trail, in the order in which they are packed."""
    readme = README.format(run=run.pk, application=run.application.name, revision=certificate.revision)
    content: dict[str, bytes] = {
        "README.txt": readme.encode(),
        "verify.py": Path(standalone.__file__).read_bytes(),
        PAGE: bytes(certificate.html),
        PRINT: bytes(certificate.pdf),
        CONTENT: certificate.content.encode("ascii"),
        PLAN: canonical(run.plan.document or {}),
    }
    files = {name: _written(root, name, data) for name, data in content.items()}
    for step in run.steps.order_by("position"):
        proved = evidence_file(step)
        if proved:
            name = evidence_name(step.position, step.name)
            files[name] = _written(root, name, proved)
    return files


def _attached(run: MigrationRun) -> list[ResultFile]:
    rows = ResultFile.objects.filter(result__item__run=run).order_by("sha256", "pk")
    return list({row.sha256: row for row in rows}.values())


def _written(root: Path, name: str, data: bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Sink:
    """What a zip file is written to while it is sent: keeps the bytes until they are taken."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        self._waiting += data
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def take(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken
