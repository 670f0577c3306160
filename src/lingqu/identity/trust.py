"""Pinned peers: whose certificate this node accepts, kept as files that a person can read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lingqu.identity.certificates import NAME, Certificate
from lingqu.identity.keys import write_private
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, Unavailable
from lingqu.kinds.parties import Party


@dataclass(frozen=True)
class Pinned:
    """A peer and exactly the certificate that it must show."""

    party: Party
    certificate: Certificate


class _File(Document):
    party: Party
    certificate: str


class TrustStore:
    """Pinned peers in a directory of mode 0700, one file `<name>.json` a peer.

    Files are replaced whole, so that a crash leaves the old or the new one.  Safe for several processes to read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
        except OSError as error:
            raise Unavailable(
                f"The directory of peers {directory} cannot be made: {error.strerror}.", "Free or repair the disk."
            ) from None

    def add(self, party: Party, certificate_pem: str) -> Pinned:
        """Pin a peer; BadInput when party and certificate differ, or another certificate is pinned for its name."""
        pinned = _checked(party, certificate_pem)
        known = self.get(party.name)
        if known is not None and known.certificate.fingerprint != pinned.certificate.fingerprint:
            raise BadInput(
                f"{party.name} is pinned with another certificate.",
                "If that party has a new key, remove the peer first and pair again.",
            )
        path = self._path(party.name)
        draft = path.with_suffix(f".{os.getpid()}.new")
        draft.unlink(missing_ok=True)
        write_private(draft, _File(party=party, certificate=pinned.certificate.pem).canonical())
        os.replace(draft, path)
        return pinned

    def get(self, name: str) -> Pinned | None:
        """The peer of that name, or None."""
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"The peer's file {path} cannot be read: {error.strerror}.", "Restore it.") from None
        file = _File.parse(data)
        if file.party.name != name:
            raise BadInput(f"The peer's file {path} is of {file.party.name}.", "Remove the peer and pair again.")
        return _checked(file.party, file.certificate)

    def by_fingerprint(self, fingerprint: str) -> Pinned | None:
        """The peer whose certificate has that fingerprint, or None."""
        return next((pinned for pinned in self.all() if pinned.certificate.fingerprint == fingerprint), None)

    def remove(self, name: str) -> None:
        """Forget a peer; nothing happens when it is unknown."""
        self._path(name).unlink(missing_ok=True)

    def all(self) -> tuple[Pinned, ...]:
        """Every pinned peer, by name."""
        peers = (self.get(path.stem) for path in sorted(self._directory.glob("*.json")))
        return tuple(pinned for pinned in peers if pinned is not None)

    def _path(self, name: str) -> Path:
        if not NAME.match(name):
            raise BadInput(f"{name!r} is no party name.", "Use the name that `lingqu peers` prints.")
        return self._directory / f"{name}.json"


def _checked(party: Party, pem: str) -> Pinned:
    certificate = Certificate.parse(pem)
    said = (party.name, party.key, party.certificate)
    if said != (certificate.name, certificate.public, certificate.fingerprint):
        raise BadInput(
            f"The certificate is not that of {party.name}: name, key or fingerprint differ.",
            "Pair with that party again.",
        )
    return Pinned(party, certificate)
