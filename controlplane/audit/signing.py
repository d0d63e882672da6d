"""The Ed25519 key that signs checkpoints. It lives in a file, never in the database that it vouches for."""

import os
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from django.conf import settings

from controlplane.audit.errors import KeyUnusable
from controlplane.audit.standalone import PublicKey, fingerprint

_HINT = "Set CAUSEWAY_AUDIT_KEY_FILE to the key's path; `audit_public_key --create` makes a key where none is."


def key_path() -> Path:
    """Where the private key is, from the settings."""
    return Path(settings.CAUSEWAY_AUDIT_KEY_FILE)


def create_key(path: Path) -> None:
    """Writes a new key, mode 0400, whole or not at all; leaves a key that is there alone. Raises KeyUnusable."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".audit-key-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(pem)
                stream.flush()
                os.fchmod(stream.fileno(), stat.S_IRUSR)
                os.fsync(stream.fileno())
            # A link fails where the name exists: of two processes that need the first key, one wins, both use it.
            os.link(name, path)
        finally:
            os.unlink(name)
    except FileExistsError:
        return
    except OSError as error:
        raise KeyUnusable(f"The audit key can't be written to {path}: {error.strerror}.", hint=_HINT) from error


def private_key() -> Ed25519PrivateKey:
    """The signing key; in development it is created on first need. Raises KeyUnusable."""
    path = key_path()
    if not path.exists() and not settings.PRODUCTION:
        create_key(path)
    try:
        mode = path.stat().st_mode
        pem = path.read_bytes()
    except OSError as error:
        raise KeyUnusable(f"The audit key {path} can't be read: {error.strerror}.", hint=_HINT) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyUnusable(f"The audit key {path} can be written by others.", hint="Give it the mode 0400.")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"The audit key {path} is no unencrypted PEM private key.", hint=_HINT) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"The audit key {path} is not an Ed25519 key.", hint=_HINT)
    return key


def public_key() -> Ed25519PublicKey:
    """The public half of the signing key. Raises KeyUnusable."""
    return private_key().public_key()


def public_pem() -> str:
    """The public key as PEM: what an auditor gets."""
    return public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


class QuickKey(PublicKey):
    """The same key, verified by the library: far quicker than plain Python on a trail with many checkpoints."""

    def holds(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def raw_of(key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of a public key."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def fingerprint_of(key: Ed25519PublicKey) -> str:
    """What checkpoints name the key by."""
    return fingerprint(raw_of(key))
