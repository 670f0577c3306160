"""Self-signed node certificates; who trusts one pins its fingerprint, so no authority is needed."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lingqu.identity.keys import NodeKey, public_bytes
from lingqu.kinds.documents import digest
from lingqu.kinds.errors import BadInput, Unavailable

NAME = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]\Z")
MAX_PEM = 8192
_BACKDATED = timedelta(days=1)  # a peer's clock may be behind ours
_LIFE = timedelta(days=3653)
_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Certificate:
    """A checked certificate.  name: the party's.  public: its Ed25519 key, base64url.  der: the signed bytes."""

    name: str
    title: str
    public: str
    der: bytes

    def __repr__(self) -> str:
        return f"Certificate(name={self.name!r}, fingerprint={self.fingerprint!r})"

    @property
    def fingerprint(self) -> str:
        """`sha256:` and the hexadecimal SHA-256 of the DER bytes."""
        return digest(self.der)

    @property
    def pem(self) -> str:
        """The certificate as PEM text."""
        return x509.load_der_x509_certificate(self.der).public_bytes(Encoding.PEM).decode()

    @classmethod
    def issue(cls, key: NodeKey, name: str, title: str) -> Certificate:
        """A new certificate of the key's owner, valid from yesterday for ten years.

        name: the party's name, as in `kinds.parties.PartyName`.  title: what people call it, at most 64 characters.
        """
        if not NAME.match(name):
            raise BadInput(f"{name!r} is no party name.", "Use 3 to 32 lower-case letters, digits and dashes.")
        if not 1 <= len(title) <= 64:
            raise BadInput("A title has 1 to 64 characters.", "Shorten it.")
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, title)]
        )
        public = key.private.public_key()
        start = datetime.now(UTC) - _BACKDATED
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + _LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_USAGE, critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"lingqu:{name}")]), critical=False
            )
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key.private, None)
        )
        return cls.parse(built.public_bytes(Encoding.PEM))

    @classmethod
    def load(cls, path: Path) -> Certificate:
        """Read and check a PEM file."""
        try:
            with path.open("rb") as file:
                return cls.parse(file.read(MAX_PEM + 1))
        except OSError as error:
            raise Unavailable(f"The certificate {path} cannot be read: {error.strerror}.", "Restore it.") from None

    @classmethod
    def parse(cls, pem: str | bytes) -> Certificate:
        """Check one PEM certificate strictly; BadInput names what is wrong.

        It must be a self-signed Ed25519 leaf made for signing, whose name and SAN are the same party's.
        Whether its time has come is for the TLS handshake to say.
        """
        data = pem.encode() if isinstance(pem, str) else pem
        if len(data) > MAX_PEM or data.count(b"-----BEGIN") != 1:
            raise _bad("it is not exactly one PEM certificate")
        try:
            return cls._check(x509.load_pem_x509_certificate(data))
        except x509.ExtensionNotFound as missing:
            raise _bad(f"its extension {missing.oid.dotted_string} is missing") from None
        except InvalidSignature:
            raise _bad("it is not signed by its own key") from None
        except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            raise _bad("it is not well-formed") from None

    @classmethod
    def _check(cls, certificate: x509.Certificate) -> Certificate:
        key = certificate.public_key()
        if not isinstance(key, Ed25519PublicKey):
            raise _bad("its key is no Ed25519 key")
        certificate.verify_directly_issued_by(certificate)
        extensions = certificate.extensions
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise _bad("it may issue others")
        if extensions.get_extension_for_class(x509.KeyUsage).value != _USAGE:
            raise _bad("its key usage is another than digital signature")
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        titles = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if len(names) != 1 or len(titles) != 1:
            raise _bad("it has not one name and one title")
        name, title = str(names[0].value), str(titles[0].value)
        if not NAME.match(name):
            raise _bad("its name is no party name")
        alternatives = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if list(alternatives) != [x509.UniformResourceIdentifier(f"lingqu:{name}")]:
            raise _bad("its alternative name is another party's")
        public = base64.urlsafe_b64encode(public_bytes(key)).rstrip(b"=").decode()
        return cls(name, title, public, certificate.public_bytes(Encoding.DER))


def _bad(why: str) -> BadInput:
    return BadInput(f"This is no node's certificate: {why}.", "Ask that party for the file that `lingqu init` made.")
