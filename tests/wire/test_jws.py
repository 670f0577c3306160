"""Signed documents: the standards' vectors, and every way to cheat."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from lingqu.identity import NodeKey
from lingqu.kinds.documents import Document, canonical
from lingqu.kinds.errors import BadInput, LingquError, Tampered, Unavailable
from lingqu.wire import Replay, open_signed, sign
from lingqu.wire.jws import decode, encode, verify_signature

VECTORS = Path(__file__).parent / "vectors"
JWS = json.loads((VECTORS / "jws.json").read_text())
CANONICAL = json.loads((VECTORS / "canonical.json").read_text())
NOW = "2026-01-01T00:00:00Z"


class Note(Document):
    """A document of every kind of field."""

    name: str = ""
    count: int = 0
    value: float = 0.0


KINDS = {"note": Note}
KEY = NodeKey.generate()
KEYS = {"ant": KEY.public}.get


def signed_as(header: dict[str, Any] | bytes, payload: bytes = b"{}", key: NodeKey = KEY) -> str:
    """A validly signed token with any header and payload."""
    head = header if isinstance(header, bytes) else canonical(header)
    data = f"{encode(head)}.{encode(payload)}"
    return f"{data}.{encode(key.sign(data.encode()))}"


HEADER: dict[str, Any] = {
    "alg": "EdDSA", "typ": "lingqu+json", "kind": "note", "iss": "ant", "aud": None, "iat": 1, "jti": "0" * 32
}  # fmt: skip


def test_published_vectors_hold() -> None:
    for each in JWS["base64url"]:
        assert encode(bytes.fromhex(each["hex"])) == each["text"]
        assert decode(each["text"]).hex() == each["hex"]
    vector = JWS["ed25519"]
    key = NodeKey(Ed25519PrivateKey.from_private_bytes(decode(vector["private"])))
    assert key.public == vector["public"]
    assert signed_as(vector["header"].encode(), vector["payload"].encode(), key) == vector["token"]
    data, _, signature = vector["token"].rpartition(".")
    verify_signature(vector["public"], decode(signature), data.encode(), "the standard")
    with pytest.raises(Tampered):
        verify_signature(vector["public"], decode(signature), data.encode() + b"x", "the standard")


@pytest.mark.parametrize("case", CANONICAL["documents"], ids=lambda case: case["source"])
def test_canonical_documents(case: dict[str, str]) -> None:
    assert canonical(json.loads(case["input"])).decode() == case["output"]


def test_canonical_numbers() -> None:
    for bits, text in CANONICAL["numbers"]["pairs"]:
        assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]).decode() == text
    for bits in CANONICAL["numbers"]["rejected"]:
        with pytest.raises(BadInput):
            canonical(struct.unpack(">d", bytes.fromhex(bits))[0])


@pytest.mark.parametrize("case", CANONICAL["rejected"], ids=lambda case: case["why"])
def test_what_has_no_canonical_form_is_refused(case: dict[str, str]) -> None:
    text = "[" * 100_000 if case["input"] == "deep" else case["input"]
    with pytest.raises(BadInput):
        Note.parse(text.encode()).canonical()


def test_a_signed_document_comes_back_with_who_and_for_whom() -> None:
    note = Note(name="民政局", count=3)
    token = sign(note, KEY, issuer="ant", kind="note", to="bee", now=NOW)
    signed = open_signed(token, KINDS, KEYS)
    assert (signed.issuer, signed.kind, signed.audience, signed.issued) == ("ant", "note", "bee", NOW)
    assert (signed.document, signed.token) == (note, token)
    assert len(signed.id) == 32


def test_an_independent_library_verifies_it() -> None:
    token = sign(Note(), KEY, issuer="ant", kind="note", to=None)
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": KEY.public})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # RFC 9864 renames EdDSA
        registry = jws.JWSRegistry(algorithms=["EdDSA"], strict_check_header=False)
        checked = jws.deserialize_compact(token, key, registry=registry)
    assert checked.payload == Note().canonical()
    assert checked.headers()["alg"] == "EdDSA"


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": "none"}, {"alg": "HS256"}, {"alg": "Ed448"}, {"typ": "JWT"}, {"crit": ["exp"]}, {"jku": "https://a"},
        {"jwk": {"kty": "OKP"}}, {"x5c": []}, {"b64": False}, {"iss": "Not a name"}, {"iss": "bee"}, {"iat": -1},
        {"iat": "1"}, {"jti": "1"}, {"kind": "vote"}, {"kind": "A note"}, {"aud": 5},
    ],
    ids=str,
)  # fmt: skip
def test_headers_beyond_the_allowed_are_tampered(changes: dict[str, Any]) -> None:
    payload = Note().canonical()
    open_signed(signed_as(HEADER, payload), KINDS, KEYS)
    with pytest.raises(Tampered):
        open_signed(signed_as(HEADER | changes, payload), KINDS, KEYS)


def test_forms_that_are_not_canonical_are_tampered() -> None:
    payload = Note().canonical()
    good = signed_as(HEADER, payload)
    head, body, signature = good.split(".")
    for token in (
        signed_as(json.dumps(HEADER).encode(), payload),
        signed_as(canonical(HEADER)[:-1] + b',"iat":1}', payload),
        signed_as(HEADER, json.dumps(json.loads(payload)).encode()),
        signed_as(HEADER, b"{}"),
        f"{head}.{body}",
        f"{good}.{signature}",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature}\n",
        f"{head}..{signature}",
        f"{head}.{body}.{signature[:-2]}",
        f"{head}.{body}.{encode(NodeKey.generate().sign(f'{head}.{body}'.encode()))}",
        good.replace(".", ".\u00e9", 1),
        "x" * 20_000_000,
    ):
        with pytest.raises(Tampered):
            open_signed(token, KINDS, KEYS)
    with pytest.raises(BadInput):
        open_signed(signed_as(HEADER, b'{"other":1}'), KINDS, KEYS)


TOKEN = sign(Note(name="n"), KEY, issuer="ant", kind="note", to=None)


@settings(max_examples=50, deadline=None)
@given(position=st.integers(0, len(TOKEN) - 1), character=st.characters(codec="ascii"))
def test_any_changed_character_is_found(position: int, character: str) -> None:
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    if changed == TOKEN:
        return
    with pytest.raises(LingquError):
        open_signed(changed, KINDS, KEYS)


def test_a_token_is_admitted_once_and_only_near_its_time() -> None:
    replay = Replay(capacity=3)
    replay.admit("a", "2026-01-01T00:00:00Z", "2026-01-01T00:02:00Z")
    with pytest.raises(Tampered, match="second time"):
        replay.admit("a", "2026-01-01T00:00:00Z", "2026-01-01T00:02:00Z", party="bee")
    with pytest.raises(Unavailable, match="clock of bee is 121 s behind") as skewed:
        replay.admit("b", "2026-01-01T00:00:00Z", "2026-01-01T00:02:01Z", party="bee")
    assert "NTP" in skewed.value.cure
    with pytest.raises(Unavailable, match="300 s ahead"):
        replay.admit("b", "2026-01-01T00:05:00Z", "2026-01-01T00:00:00Z")
    replay.admit("b", NOW, NOW)
    replay.admit("c", NOW, NOW)
    with pytest.raises(Unavailable, match="Too many"):
        replay.admit("d", NOW, NOW)
    replay.admit("d", "2026-01-01T00:10:00Z", "2026-01-01T00:10:00Z")
