"""A node's signing key and the check of a signature."""

from __future__ import annotations

import base64
import binascii
import os
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

from lingqu.kinds.errors import BadInput, Tampered, Unavailable


class NodeKey:
    """An Ed25519 private key (RFC 8032); it never prints itself."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.private = private

    def __repr__(self) -> str:
        return f"NodeKey(public={self.public!r}, private=<redacted>)"

    @classmethod
    def generate(cls) -> NodeKey:
        """A fresh random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> NodeKey:
        """Read a PEM file; BadInput when others may read it or when it holds no Ed25519 key."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(10_000)
        except OSError as error:
            raise Unavailable(f"The key file {path} cannot be read: {error.strerror}.", "Restore it.") from None
        if mode & 0o077:
            raise BadInput(f"The key file {path} can be read by other users.", f"Run: chmod 600 {path}")
        try:
            private = load_pem_private_key(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise BadInput(f"The key file {path} holds no PEM private key.", "Restore it from a copy.") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise BadInput(f"The key in {path} is no Ed25519 key.", "Let the node make its own key.")
        return cls(private)

    @property
    def public(self) -> str:
        """The public key: 32 bytes as base64url without padding, 43 characters."""
        return base64.urlsafe_b64encode(public_bytes(self.private.public_key())).rstrip(b"=").decode()

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature of some bytes, 64 bytes."""
        return self.private.sign(data)

    def save(self, path: Path) -> None:
        """Write a new PEM file (PKCS #8) that only this user can read; BadInput when the file exists."""
        pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(path, pem)


def public_bytes(key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of a public key."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def verify(public: str, signature: bytes, data: bytes) -> None:
    """Check an Ed25519 signature; Tampered when it does not hold.

    public: base64url without padding, 43 characters.
    """
    try:
        if len(public) != 43:
            raise ValueError
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public + "=", altchars=b"-_", validate=True))
        key.verify(signature, data)
    except (ValueError, binascii.Error):
        raise Tampered("The public key is not 32 bytes of base64url.", "Ask its owner for it again.") from None
    except InvalidSignature:
        raise Tampered("The signature does not hold.", "Ask its author for the original.") from None


def write_private(path: Path, data: bytes) -> None:
    """Create a file of mode 0600 durably; BadInput when it exists, Unavailable when the disk refuses."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise BadInput(f"The file {path} exists.", "Choose another path, or move that file away.") from None
    except OSError as error:
        raise Unavailable(f"The file {path} cannot be written: {error.strerror}.", "Free or repair the disk.") from None
