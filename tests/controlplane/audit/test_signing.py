"""The signing key: made once, kept to its owner, refused when it is not what it should be."""

import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from controlplane.audit import signing
from controlplane.audit.errors import KeyUnusable
from controlplane.audit.standalone import load_public_keys


def test_key_is_made_on_first_need_readable_by_its_owner_alone(audit_key: Path) -> None:
    first = signing.fingerprint_of(signing.public_key())
    assert stat.S_IMODE(audit_key.stat().st_mode) == 0o400
    assert stat.S_IMODE(audit_key.parent.stat().st_mode) == 0o700
    assert signing.fingerprint_of(signing.public_key()) == first
    assert [path.name for path in audit_key.parent.iterdir()] == ["audit.pem"], "no part file is left"


def test_production_makes_no_key(audit_key: Path, settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(KeyUnusable, match="can't be read") as caught:
        signing.private_key()
    assert "audit_public_key --create" in caught.value.hint
    assert not audit_key.exists()


def test_processes_that_need_the_first_key_at_once_get_the_same(audit_key: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(signing.fingerprint_of(signing.public_key()))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8 and len(set(found)) == 1


def test_key_that_others_can_write_is_refused(audit_key: Path) -> None:
    signing.private_key()
    audit_key.chmod(0o620)
    with pytest.raises(KeyUnusable, match="written by others"):
        signing.private_key()


@pytest.mark.parametrize("kind", ["text", "rsa", "folder"])
def test_file_that_is_no_ed25519_key_is_refused_without_showing_it(audit_key: Path, kind: str) -> None:
    audit_key.parent.mkdir()
    if kind == "folder":
        audit_key.mkdir()
    elif kind == "text":
        audit_key.write_text("c4nary")
    else:
        key = generate_private_key(65537, 2048)
        audit_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(KeyUnusable) as caught:
        signing.private_key()
    assert "c4nary" not in str(caught.value)


def test_public_key_is_what_a_verifier_reads(audit_key: Path) -> None:
    assert list(load_public_keys(signing.public_pem().encode())) == [signing.fingerprint_of(signing.public_key())]
