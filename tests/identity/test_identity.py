"""Keys, certificates, pins, invitations and TLS contexts."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.identity import (
    Certificate,
    Invitation,
    Invitations,
    NodeKey,
    Side,
    TrustStore,
    check_peer,
    client_context,
    pairing_context,
    peer_fingerprint,
    server_context,
    verify,
)
from lingqu.kinds.errors import BadInput, LingquError, Refused, Tampered, Unavailable
from lingqu.kinds.parties import Party


def make(name: str, address: str = "127.0.0.1:7443") -> tuple[NodeKey, Certificate, Party]:
    """A party with fresh keys."""
    key = NodeKey.generate()
    certificate = Certificate.issue(key, name, "民政局")
    party = Party(name=name, title="民政局", key=key.public, certificate=certificate.fingerprint, address=address)
    return key, certificate, party


_FIXED = make("fixed-party")[1]


def test_a_key_signs_saves_itself_for_this_user_only_and_does_not_print(tmp_path: Path) -> None:
    key = NodeKey.generate()
    path = tmp_path / "node.pem"
    key.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = NodeKey.load(path)
    assert again.public == key.public
    assert len(key.public) == 43
    verify(key.public, again.sign(b"text"), b"text")
    assert "redacted" in repr(key)
    assert path.read_text().splitlines()[1] not in f"{key!r}{key}"
    with pytest.raises(BadInput, match="exists"):
        key.save(path)


def test_wrong_signatures_and_keys_are_tampered() -> None:
    key = NodeKey.generate()
    signature = key.sign(b"text")
    for public, signed, data in (
        (key.public, signature, b"Text"),
        (key.public, signature[:-1] + bytes((signature[-1] ^ 1,)), b"text"),
        (NodeKey.generate().public, signature, b"text"),
        (key.public[:-1], signature, b"text"),
        ("*" * 43, signature, b"text"),
        (key.public, b"", b"text"),
    ):
        with pytest.raises(Tampered):
            verify(public, signed, data)


def test_unusable_key_files_say_why(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(Unavailable, match="cannot be read"):
        NodeKey.load(path)
    path.write_text("no key")
    path.chmod(0o644)
    with pytest.raises(BadInput, match="other users"):
        NodeKey.load(path)
    path.chmod(0o600)
    with pytest.raises(BadInput, match="no PEM"):
        NodeKey.load(path)
    other = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(BadInput, match="no Ed25519"):
        NodeKey.load(path)
    with pytest.raises(Unavailable, match="cannot be written"):
        NodeKey.generate().save(tmp_path / "missing" / "key.pem")


def test_a_certificate_carries_its_party() -> None:
    key, certificate, _ = make("civil-affairs")
    parsed = Certificate.parse(certificate.pem)
    assert parsed == certificate
    assert (parsed.name, parsed.title, parsed.public) == ("civil-affairs", "民政局", key.public)
    inner = x509.load_der_x509_certificate(parsed.der)
    now = datetime.datetime.now(datetime.UTC)
    assert inner.not_valid_before_utc < now - datetime.timedelta(hours=23)
    assert inner.not_valid_after_utc > now + datetime.timedelta(days=3650)
    for name, title in (("Civil", "x"), ("a", "x"), ("civil\n", "x"), ("civil", ""), ("civil", "x" * 65)):
        with pytest.raises(BadInput):
            Certificate.issue(key, name, title)


def forged(
    *, ca: bool = False, name: str = "ant", uri: str = "lingqu:ant", signer: bool = True, usage: bool = True
) -> str:
    """A certificate that departs from the rules in one way."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ant")]
    )
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
    )
    if usage:
        bits = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        builder = builder.add_extension(bits, critical=True)
    return builder.sign(key if signer else Ed25519PrivateKey.generate(), None).public_bytes(Encoding.PEM).decode()


def test_certificates_that_break_a_rule_are_named() -> None:
    assert Certificate.parse(forged()).name == "ant"
    curve = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ant")])
    now = datetime.datetime.now(datetime.UTC)
    other = (
        x509.CertificateBuilder(name, name, curve.public_key(), 1, now, now + datetime.timedelta(days=1))
        .sign(curve, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )
    for pem, why in (
        (forged(ca=True), "may issue others"),
        (forged(name="ant bear"), "no party name"),
        (forged(uri="lingqu:bee"), "another party"),
        (forged(signer=False), "own key"),
        (forged(usage=False), "extension"),
        (other, "no Ed25519"),
        (forged() + forged(), "exactly one"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "well-formed"),
        ("", "exactly one"),
        ("x" * 10_000, "exactly one"),
    ):
        with pytest.raises(BadInput, match=why):
            Certificate.parse(pem)


@settings(max_examples=40, deadline=None)
@given(position=st.integers(30, 600), bit=st.integers(0, 7))
def test_a_changed_certificate_is_another_one_or_none(position: int, bit: int) -> None:
    data = bytearray(_FIXED.pem.encode())
    data[position % len(data)] ^= 1 << bit
    try:
        parsed = Certificate.parse(bytes(data))
    except LingquError:
        return
    assert parsed.der == _FIXED.der


def test_pins_are_kept_on_disk_and_never_replaced_silently(tmp_path: Path) -> None:
    _, certificate, party = make("ant-hill")
    _, other, other_party = make("ant-hill")
    store = TrustStore(tmp_path / "peers")
    store.add(party, certificate.pem)
    store.add(party.model_copy(update={"address": "10.0.0.1:1"}), certificate.pem)
    again = TrustStore(tmp_path / "peers")
    pinned = again.get("ant-hill")
    assert pinned is not None
    assert pinned.party.address == "10.0.0.1:1"
    assert again.by_fingerprint(certificate.fingerprint) == pinned
    assert again.by_fingerprint(other.fingerprint) is None
    assert again.all() == (pinned,)
    with pytest.raises(BadInput, match="another certificate"):
        store.add(other_party, other.pem)
    with pytest.raises(BadInput, match="differ"):
        store.add(other_party, certificate.pem)
    with pytest.raises(BadInput, match="no party name"):
        store.get("../ant")
    store.remove("ant-hill")
    store.remove("ant-hill")
    assert store.get("ant-hill") is None
    assert (tmp_path / "peers").stat().st_mode & 0o777 == 0o700
    (tmp_path / "peers" / "bee-hive.json").write_text("{}")
    with pytest.raises(BadInput):
        store.all()


@settings(max_examples=30, deadline=None)
@given(host=st.from_regex(r"[a-z][a-z0-9.-]{0,60}", fullmatch=True), port=st.integers(1, 65535), data=st.data())
def test_a_code_survives_pasting_and_not_mistyping(host: str, port: int, data: st.DataObject) -> None:
    invitation = Invitation.issue(f"{host}:{port}", _FIXED.fingerprint)
    code = invitation.code
    assert Invitation.parse(f"  {code.upper()[:30]}\n {code[30:]} ") == invitation
    place = data.draw(st.sampled_from([i for i in range(8, len(code)) if code[i] != "-"]))
    letter = data.draw(st.sampled_from([c for c in "abcdefghijklmnopqrstuvwxyz234567" if c != code[place]]))
    mistyped = code[:place] + letter + code[place + 1 :]
    try:
        parsed = Invitation.parse(mistyped)
    except BadInput:
        return
    assert parsed == invitation  # the unused bits of the last letter


def test_unusable_codes_say_why() -> None:
    code = Invitation.issue("host:1", _FIXED.fingerprint).code
    for text, why in (
        ("hello", "begins with"),
        (code[:-8], "checksum|characters"),
        (code + "!", "characters"),
        (code * 9, "long"),
    ):
        with pytest.raises(BadInput, match=why):
            Invitation.parse(text)
    with pytest.raises(BadInput, match="host:port"):
        Invitation.issue("no address", _FIXED.fingerprint)


def test_pairing_proves_the_secret_both_ways_once() -> None:
    _, certificate, inviter = make("inviter")
    _, _, joiner = make("joiner")
    book = Invitations()
    issued, expires = book.issue(inviter.address, certificate.fingerprint, now="2026-01-01T00:00:00Z")
    assert expires == "2026-01-01T00:15:00Z"
    pasted = Invitation.parse(issued.code)
    assert pasted.secret.hex() not in repr(pasted)
    proof = pasted.proof(Side.JOINER, inviter, joiner)
    redeemed = book.redeem(pasted.id, proof, inviter, joiner, now="2026-01-01T00:14:00Z")
    answer = redeemed.proof(Side.INVITER, inviter, joiner)
    pasted.check(answer, Side.INVITER, inviter, joiner)
    assert answer != proof
    with pytest.raises(Refused, match="used up"):
        book.redeem(pasted.id, proof, inviter, joiner, now="2026-01-01T00:14:00Z")
    for changed in (joiner.model_copy(update={"address": "evil:1"}), make("joiner")[2]):
        with pytest.raises(Tampered):
            pasted.check(answer, Side.INVITER, inviter, changed)
    with pytest.raises(Tampered):
        pasted.check("é", Side.INVITER, inviter, joiner)


def test_expired_and_guessed_invitations_are_refused() -> None:
    _, certificate, inviter = make("inviter")
    _, _, joiner = make("joiner")
    book = Invitations()
    old, _ = book.issue(inviter.address, certificate.fingerprint, now="2026-01-01T00:00:00Z")
    with pytest.raises(Refused, match="expired"):
        book.redeem(old.id, old.proof(Side.JOINER, inviter, joiner), inviter, joiner, now="2026-01-01T00:15:01Z")
    new, _ = book.issue(inviter.address, certificate.fingerprint)
    with pytest.raises(Tampered):
        book.redeem(new.id, "0" * 64, inviter, joiner)
    with pytest.raises(Refused):
        book.redeem(new.id, new.proof(Side.JOINER, inviter, joiner), inviter, joiner)
    with pytest.raises(BadInput):
        book.issue(inviter.address, certificate.fingerprint, minutes=0)


def test_the_comparison_is_equal_only_for_the_same_certificates() -> None:
    _, certificate, inviter = make("inviter")
    joiner, impostor = make("joiner")[2], make("joiner")[2]
    invitation = Invitation.issue(inviter.address, certificate.fingerprint)
    digits = Invitation.parse(invitation.code).comparison(inviter, joiner)
    assert digits == invitation.comparison(inviter, joiner)
    assert len(digits) == 7
    assert len({invitation.comparison(inviter, each) for each in (joiner, impostor, inviter)}) >= 2


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A handshake in memory; raises what either side raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(to_server, to_client, server_side=True)
    two = client.wrap_bio(to_client, to_server)
    waiting = [two, one]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return one, two


def test_contexts_accept_exactly_the_pinned(tmp_path: Path) -> None:
    paths = {}
    certificates = {}
    for name in ("ant", "bee", "cat"):
        key, certificates[name], _ = make(name)
        paths[name] = (tmp_path / f"{name}.pem", tmp_path / f"{name}.crt")
        key.save(paths[name][0])
        paths[name][1].write_text(certificates[name].pem)
    server = server_context(*paths["ant"], [certificates["bee"]])
    one, two = shake(server, client_context(*paths["bee"], [certificates["ant"]]))
    assert one.version() == two.version() == "TLSv1.3"
    check_peer(one, certificates["bee"].fingerprint)
    check_peer(two, certificates["ant"].fingerprint)
    with pytest.raises(Tampered):
        check_peer(one, certificates["cat"].fingerprint)
    for client in (
        client_context(*paths["cat"], [certificates["ant"]]),
        client_context(None, None, [certificates["ant"]]),
        client_context(*paths["bee"], [certificates["cat"]]),
    ):
        with pytest.raises(ssl.SSLError):
            shake(server, client)
    pairing = server_context(*paths["ant"], [], require_client=False)
    one, two = shake(pairing, pairing_context())
    assert peer_fingerprint(one) is None
    check_peer(two, certificates["ant"].fingerprint)
    with pytest.raises(ssl.SSLError):
        shake(pairing, client_context(*paths["cat"], [certificates["ant"]]))
    with pytest.raises(Unavailable):
        server_context(paths["ant"][0], paths["bee"][1], [])
