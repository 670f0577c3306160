"""Notes are C2SP's; a witness cosigns nothing that was rewritten; a log reopens as it was or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lingqu.identity import NodeKey
from lingqu.kinds.errors import Tampered, Unavailable
from lingqu.ledger import Checkpoint, Log, MemoryStore, Paired, attach, cosignatures, open_checkpoint, sign_checkpoint
from lingqu.ledger import witness as cosign
from lingqu.ledger.checkpoint import NOTE, key_id, parse_checkpoint, parse_note
from lingqu.wire.jws import decode

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "notes.json").read_text())
AT = "2026-06-01T00:00:00Z"
DIGEST = "sha256:" + "0" * 64


def entry(number: int) -> Paired:
    return Paired(party=f"peer-{number}", key="A" * 43, certificate=DIGEST)


def log_of(key: NodeKey, *numbers: int) -> Log:
    log = Log(MemoryStore(), "civil-affairs", key)
    for number in numbers:
        log.append(entry(number), AT)
    return log


def test_a_published_signed_note_verifies() -> None:
    name, identifier, encoded = VECTORS["go"]["vkey"].split("+", 2)
    public = base64.b64decode(encoded)
    text, (line,) = parse_note(VECTORS["go"]["note"])
    assert public[:1] == NOTE
    assert (line.name, line.key_id.hex()) == (name, identifier)
    assert key_id(name, NOTE, public[1:]).hex() == identifier
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(line.signature, text.encode())


def test_the_published_cosignature_has_its_form() -> None:
    text, (own, cosigned) = parse_note(VECTORS["c2sp"]["note"])
    assert text == "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert len(own.signature) == 64
    assert len(cosigned.signature) == 72
    assert int.from_bytes(cosigned.signature[:8], "big") == VECTORS["c2sp"]["timestamp"]
    assert f"{text}\n{own}{cosigned}" == VECTORS["c2sp"]["note"]


def test_a_cosignature_is_what_the_specification_says() -> None:
    log_key, key = NodeKey.generate(), NodeKey.generate()
    note = log_of(log_key, 1, 2).checkpoint()
    _, line = cosign(
        note, key=log_key.public, previous=None, proof=[], party="big-data", signer=key, at="2023-03-20T12:25:47Z"
    )
    dash, name, encoded = line.rstrip("\n").split(" ")
    data, public = base64.b64decode(encoded), decode(key.public)
    assert (dash, name) == ("—", "lingqu/big-data")
    assert data[:4] == hashlib.sha256(b"lingqu/big-data\n\x04" + public).digest()[:4]
    assert int.from_bytes(data[4:12], "big") == 1679315147
    text = note.partition("\n\n")[0] + "\n"
    signed = b"cosignature/v1\ntime 1679315147\n" + text.encode()
    Ed25519PublicKey.from_public_bytes(public).verify(data[12:], signed)
    (found,) = cosignatures(attach(note, line, {"big-data": key.public}), {"big-data": key.public})
    assert (found.party, found.at) == ("big-data", "2023-03-20T12:25:47Z")


def test_forged_notes_and_cosignatures() -> None:
    log_key, key, other = NodeKey.generate(), NodeKey.generate(), NodeKey.generate()
    note = log_of(log_key, 1).checkpoint()
    state = open_checkpoint(note, log_key.public)
    forged = sign_checkpoint(Checkpoint(state.origin, state.size, bytes(32)), other)
    for bad in (
        note.replace("\n1\n", "\n2\n"),
        forged,
        note.replace("civil", "rural"),
        note[:-1],
        note + "x",
        "",
        "\n\n",
    ):
        with pytest.raises(Tampered):
            open_checkpoint(bad, log_key.public)
    for bad in (note.replace("\n1\n", "\n01\n"), note.replace("\n1\n", "\n1\nmore\n"), note.replace("=\n", "\n", 1)):
        with pytest.raises(Tampered):
            parse_checkpoint(bad)
    _, line = cosign(note, key=log_key.public, previous=None, proof=[], party="big-data", signer=other, at=AT)
    with pytest.raises(Tampered, match="not by a party"):
        attach(note, line, {"big-data": key.public})
    flipped = line[:-6] + ("A" if line[-6] != "A" else "B") + line[-5:]
    with pytest.raises(Tampered):
        attach(note, flipped, {"big-data": other.public})


def test_a_witness_cosigns_only_what_continues() -> None:
    key, witness = NodeKey.generate(), Log(MemoryStore(), "big-data", NodeKey.generate())
    log = log_of(key, 1, 2, 3)
    early = log.checkpoint()
    witness.witness(early, key.public, [], AT)
    log.append(entry(4), AT)
    line = witness.witness(log.checkpoint(), key.public, log.consistency(3), AT)
    assert "lingqu/big-data" in log.cosigned(4, line, {"big-data": witness.signer.public})
    assert log.checkpoint() == log.store.kept(log.origin)[-1]  # with its cosignature
    seen = witness.last_seen("civil-affairs")
    assert seen is not None
    assert seen.size == 4
    rewritten = log_of(key, 1, 9, 3, 4, 5)
    with pytest.raises(Tampered, match="Fork: civil-affairs rewrote its history"):
        witness.witness(rewritten.checkpoint(), key.public, rewritten.consistency(4), AT)
    same_size = log_of(key, 1, 9, 3, 4)
    with pytest.raises(Tampered, match="Fork"):
        witness.witness(same_size.checkpoint(), key.public, [], AT)
    with pytest.raises(Tampered, match="had 4 entries and shows 3 now"):
        witness.witness(early, key.public, [], AT)
    with pytest.raises(Tampered, match="signature"):
        witness.witness(log.checkpoint(), NodeKey.generate().public, [], AT)
    witness.witness(log.checkpoint(), key.public, [], AT)  # the same state again is fine


def test_a_log_reopens_as_it_was() -> None:
    key, store = NodeKey.generate(), MemoryStore()
    log = Log(store, "civil-affairs", key)
    for number in range(5):
        log.append(entry(number), AT)
    note = log.checkpoint()
    again = Log(store, "civil-affairs", key)
    assert len(again) == 5
    assert again.checkpoint() == note
    assert [found.content() for found in again.entries(3)] == [entry(3), entry(4)]
    with pytest.raises(Unavailable):
        store.append(3, b"")
    changed = MemoryStore()
    for index, data in enumerate(store.read(0, 5)):
        changed.append(index, data.replace(b"peer-2", b"peer-7"))
    changed.keep(log.origin, 5, note)
    with pytest.raises(Tampered, match="does not continue its own checkpoint of 5"):
        Log(changed, "civil-affairs", key)
    moved = MemoryStore()
    moved.append(0, store.read(1, 2)[0])
    with pytest.raises(Tampered, match="Entry 0 of the ledger stands elsewhere"):
        Log(moved, "civil-affairs", key)
    with pytest.raises(Tampered, match="no checkpoint of 9"):
        log.cosigned(9, "", {})
