"""The pitfalls of the public catalogue mpcsec.org (rot256/mpc-pitfalls) that a system like this can fall into.

Each test is named after the catalogue's entry; `docs/security/pitfalls.md` lists them, and those that do not apply.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import os
import random
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.security.parties import Altered, run_session

from lingqu import _core
from lingqu.identity import Certificate, NodeKey, client_context
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, ProtocolViolation, Tampered
from lingqu.ledger import verify
from lingqu.net.loopback import LoopbackListener
from lingqu.net.memory import memory_channels
from lingqu.net.tls import listen
from lingqu.ot import connect as connect_ot
from lingqu.psi import Terms, elements, intersect
from lingqu.share import Machine
from lingqu.share.rep3 import connect
from lingqu.wire.frames import ForeignSession, ForgedSender, FrameDecoder, FrameEncoder, OutOfSequence
from lingqu.wire.jws import open_signed, sign

ROOT = Path(__file__).parents[2]
PRIME = 2**255 - 19
NAMES = ("ant", "bee", "cat")
SESSIONS = (bytes(range(16)), bytes(range(1, 17)))


class Note(Document):
    """A document to sign."""

    text: str = "yes"


class Site:
    """A party's key and certificate in files."""

    def __init__(self, directory: Path, name: str) -> None:
        key = NodeKey.generate()
        self.certificate = Certificate.issue(key, name, name)
        self.key, self.path = directory / f"{name}.pem", directory / f"{name}.crt"
        key.save(self.key)
        self.path.write_text(self.certificate.pem)


def work(machine: Machine) -> list[int]:
    """A computation with every kind of message: inputs, products, comparison, conversion, sort, opening."""
    x = machine.input(0, np.array([5, -3, 7, 0]) if machine.party == 0 else None, (4,))
    y = machine.input(1, np.array([2, 9, -1, 0]) if machine.party == 1 else None, (4,))
    product = machine.multiply(x, y)
    product = machine.add(product, machine.scale(machine.truncate(product, 1), 0))  # half may be one unit off
    less = machine.inject(machine.less_than(x, y))
    order = machine.sort([machine.to_bits(machine.add(x, 3))])
    total = machine.add(machine.add(product, less), machine.apply(order, [y])[0])  # type: ignore[arg-type]
    opened = machine.reveal(total)
    assert opened is not None
    return [int(value) for value in opened]


# Input validation


def test_duplicate_indices() -> None:
    """No session has one party twice."""
    with pytest.raises(BadInput):
        memory_channels(("ant", "bee", "ant"))
    with pytest.raises(BadInput):
        connect(memory_channels(("ant", "bee"))[0])


def messages_of_a_session() -> list[tuple[int, int]]:
    """(party, index) of every message of `work`."""
    run = run_session(lambda channel: work(connect(channel)), NAMES)
    return [(party, index) for party, sent in enumerate(run.sent) for index in range(len(sent))]


@pytest.mark.parametrize("cut", [slice(0, -8), slice(0, 0)], ids=["one word short", "empty"])
def test_wrong_length_sequence(cut: slice) -> None:
    """Whichever message is cut short, its receiver ends the session; nobody computes on with what is there."""
    generator = random.Random(1)
    for party, index in generator.sample(messages_of_a_session(), 12):
        alter = Altered(party, index, lambda data: data[cut])
        run = run_session(lambda channel: work(connect(channel)), NAMES, alter)
        assert alter.done
        assert any(isinstance(error, ProtocolViolation) for error in run.errors)
        assert all(isinstance(error, LingquError) for error in run.errors if error is not None)
        assert run.results.count(None) >= 1


def test_vacuous_empty_list() -> None:
    """A list with nothing in it proves nothing: no bundle verifies as a ledger, no columns are no key."""
    assert not verify([]).ok
    with pytest.raises(BadInput):
        elements([], [])


def test_unreduced_input() -> None:
    """A group element has one encoding; others, though they would name a point, are refused."""
    key = _core.GroupKey(os.urandom(64))
    for value in (PRIME, PRIME + 1, PRIME + 2, 2**255 + 2, 2**256 - 1):
        with pytest.raises(ValueError, match="no point"):
            key.multiply(np.frombuffer(value.to_bytes(32, "little"), np.uint8))


@pytest.mark.parametrize("kind", ["off the curve", "negative", "of low order", "identity"])
def test_missing_on_curve_check(kind: str) -> None:
    """Bytes that are no element of the prime-order group are refused where a peer's bytes are raised to a secret."""
    vectors = json.loads((ROOT / "tests" / "psi" / "vectors" / "ristretto255.json").read_text())["invalid"]
    chosen = {"off the curve": vectors[12], "negative": vectors[4], "of low order": vectors[-1], "identity": "00" * 32}
    with pytest.raises(ValueError, match="no point"):
        _core.GroupKey(os.urandom(64)).multiply(np.frombuffer(bytes.fromhex(chosen[kind]), np.uint8))


# Context binding


def test_missing_ssid_and_pid() -> None:
    """A frame counts in its own session, between its own two parties, once."""
    header, part = next(FrameEncoder(SESSIONS[0], 1, 0).frames(Tag.ELEMENTS, 1, bytes(8)))
    assert len(part) == 8
    for decoder, fault in (
        (FrameDecoder(SESSIONS[1], 1, 0), ForeignSession),
        (FrameDecoder(SESSIONS[0], 2, 0), ForgedSender),
        (FrameDecoder(SESSIONS[0], 1, 2), ForgedSender),
    ):
        with pytest.raises(fault):
            decoder.header(header)
    decoder = FrameDecoder(SESSIONS[0], 1, 0)
    decoder.header(header)
    with pytest.raises(OutOfSequence):
        decoder.header(header)


def test_late_ssid_mismatch(tmp_path: Path) -> None:
    """Parties that mean different sessions learn it at the greeting, by an error of its own, before any message."""
    sites = [Site(tmp_path, name) for name in NAMES[:2]]
    listeners = [listen("127.0.0.1", key=site.key, certificate=site.path) for site in sites]
    endpoints, pinned = [listener.address for listener in listeners], [site.certificate for site in sites]
    with ThreadPoolExecutor(2) as pool:
        meshes = [
            pool.submit(listeners[party].mesh, SESSIONS[party], party, NAMES[:2], endpoints, pinned, 2.0)
            for party in range(2)
        ]
    errors = [mesh.exception() for mesh in meshes]
    assert isinstance(errors[1], ForeignSession)
    assert isinstance(errors[0], PartyLost)


def test_missing_signing_context_tag() -> None:
    """A signature is for one kind of document, one issuer and one audience; it does not serve as another."""
    key = NodeKey.generate()
    token = sign(Note(), key, issuer="ant", kind="note", to="bee")
    keys = {"ant": key.public}.get
    assert open_signed(token, {"note": Note}, keys).document == Note()
    with pytest.raises(Tampered):
        open_signed(token, {"vote": Note}, keys)
    with pytest.raises(Tampered):
        open_signed(token, {"note": Note}, {"bee": key.public}.get)


def constants(pattern: str) -> Iterator[str]:
    """Byte strings of the source, Python's and Rust's, that match."""
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "crates").glob("*/src/**/*.rs")]:
        yield from re.findall(rf'b"({pattern})"', path.read_text(encoding="utf-8"))


def test_hash_reuse_without_ds() -> None:
    """Every use of a hash has a label of its own, and no label begins another."""
    labels = list(constants(r"lingqu[^" + '"' + r"]*"))
    assert len(labels) > 8
    assert len(set(labels)) == len(labels)
    assert not [(a, b) for a in labels for b in labels if a != b and b.startswith(a)]


def test_unprefixed_list_hash() -> None:
    """Columns of a key do not run into each other: ("ab", "c") is not ("a", "bc"), nor is ("", "x") ("x", "")."""
    left = elements([pa.array(["ab", "", "a\x00b"]), pa.array(["c", "x", ""])], ["exact/1", "exact/1"])
    right = elements([pa.array(["a", "x", "a"]), pa.array(["bc", "", "b\x00"])], ["exact/1", "exact/1"])
    salt = bytes(32)
    pairs = [{tuple(row) for row in side.digests(salt).reshape(-1, 2).tolist()} for side in (left, right)]
    assert not pairs[0] & pairs[1]


# Concurrency and state


def test_concurrent_sessions() -> None:
    """Sessions that run side by side share no key and no position in one: none of their messages are alike."""
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: run_session(lambda c: work(connect(c)), NAMES), range(3)))
    assert all(run.results == runs[0].results and run.results[0] is not None for run in runs)
    seen = [{data for sent in run.sent for _, _, data in sent if len(data) >= 32} for run in runs]
    assert all(seen)
    for one, other in itertools.combinations(seen, 2):
        assert not one & other


def test_an_abort_beside_another_session() -> None:
    """One session's abort is its own: another of the same parties goes on, with keys that the first never saw."""
    alter = Altered(1, 3, lambda data: data[:-8])
    with ThreadPoolExecutor(2) as pool:
        broken = pool.submit(run_session, lambda c: work(connect(c)), NAMES, alter)
        whole = pool.submit(run_session, lambda c: work(connect(c)), NAMES)
    assert any(broken.result().errors)
    assert whole.result().errors == [None] * 3


def test_presignature_reuse() -> None:
    """A correlation is handed out once."""

    def take(channel: Channel) -> Any:
        session = connect_ot(channel)
        side = session.sending if channel.party == 0 else session.receiving
        return [side.take(200)[-1] for _ in range(3)]

    for batches in run_session(take, NAMES[:2]).results:
        rows = [tuple(row) for batch in batches for row in np.asarray(batch).tolist()]
        assert len(set(rows)) == len(rows) == 600


# Insecure subprotocols


def test_unauthenticated_p2p_channel(tmp_path: Path) -> None:
    """Who has another certificate than the one pinned for a party, or none, is not talked to."""
    sites = [Site(tmp_path, name) for name in (*NAMES[:2], "dog")]
    listener = listen("127.0.0.1", key=sites[0].key, certificate=sites[0].path)
    address, pinned = listener.address, [site.certificate for site in sites[:2]]
    host, _, port = address.rpartition(":")
    answers: list[bytes] = []

    def intrude() -> None:
        for site in (sites[2], None):
            context = client_context(site.key if site else None, site.path if site else None, pinned)
            with (
                contextlib.suppress(OSError),
                socket.create_connection((host, int(port)), 5) as raw,
                context.wrap_socket(raw) as connection,
            ):
                connection.sendall(bytes(73))
                answers.append(connection.recv(100))

    thread = threading.Thread(target=intrude)
    thread.start()
    with pytest.raises(PartyLost) as lost:
        listener.mesh(SESSIONS[0], 0, NAMES[:2], [address, "127.0.0.1:1"], pinned, 3.0)
    thread.join(20)
    assert lost.value.party == "bee"
    assert set(answers) <= {b""}


def test_channels_without_protection_stay_on_the_loopback() -> None:
    """The channel without TLS, for benchmarks, takes no other address; TLS contexts speak 1.3 and check."""
    with pytest.raises(BadInput):
        LoopbackListener().mesh(SESSIONS[0], 1, NAMES[:2], ["192.0.2.1:1", "127.0.0.1:1"], 1.0)
    context = client_context(None, None, [])
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3


def test_low_entropy_randomness() -> None:
    """Keys come from the operating system: nothing that ships imports a generator made for simulations."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            module = node.module if isinstance(node, ast.ImportFrom) else None
            assert not {"random", "numpy.random"} & {*names, module}, path
    for path in (ROOT / "crates").glob("*/src/**/*.rs"):
        text = path.read_text(encoding="utf-8").split("#[cfg(test)]")[0]
        assert not re.search(r"\b(thread_rng|SmallRng|seed_from_u64|StdRng)\b", text), path


# Failure and aborts


def shares_of(generator: random.Random) -> Any:
    """Something a kernel may get in place of what it expects."""
    count = generator.choice([0, 1, 2, 3, 7, 64, 65, 200])
    words = np.frombuffer(generator.randbytes(8 * count), np.uint64)
    makers: list[Callable[[], Any]] = [
        lambda: words,
        lambda: (words, words),
        lambda: (words, words[: count // 2]),
        lambda: [words, words, words],
        lambda: generator.choice([0, 1, 2, 8, 63, 64, 65, 200, -1]),
        lambda: (count, 3, 5),
        lambda: np.arange(count, dtype=np.int64),
        lambda: np.frombuffer(generator.randbytes(count), np.uint8),
        lambda: generator.randbytes(16),
        lambda: generator.randbytes(32),
        lambda: generator.randbytes(count),
        lambda: generator.choice([True, False]),
        lambda: _core.Prg(generator.randbytes(16)),
    ]
    return generator.choice(makers)()


def kernels() -> list[str]:
    """The functions of the compiled core."""
    return sorted(name for name in dir(_core) if callable(getattr(_core, name)) and not name.startswith("_"))


@pytest.mark.parametrize("name", kernels())
def test_panic_instead_of_abort(name: str) -> None:
    """A kernel that is given what does not fit says so by an error; it never panics, whatever a peer sent."""
    kernel = getattr(_core, name)
    count = len([p for p in (kernel.__text_signature__ or "()").strip("()").split(",") if p.strip(" /$")])
    generator = random.Random(name)
    for _ in range(300):
        with contextlib.suppress(ValueError, TypeError, OverflowError, IndexError):
            kernel(*(shares_of(generator) for _ in range(count)))


def test_opaque_ot_abort() -> None:
    """A base transfer that does not check out ends its session by an error that says so, and nothing retries it."""
    alter = Altered(0, 1, lambda data: bytes(len(data)))
    run = run_session(connect_ot, NAMES[:2], alter)
    error = run.errors[1]
    assert isinstance(error, ProtocolViolation)
    assert error.cause
    assert error.cure
    assert not isinstance(error, PartyLost)


def test_unpropagated_abort() -> None:
    """When one party aborts, all leave the session, and it cannot be used again."""
    alter = Altered(2, 4, lambda data: data + b"12345678")
    run = run_session(lambda channel: work(connect(channel)), NAMES, alter)
    assert all(isinstance(error, LingquError) for error in run.errors)
    for channel in run.channels:
        with pytest.raises(LingquError):
            channel.receive((channel.party + 1) % 3, 8)


# What intersection adds


@pytest.mark.parametrize("protocol", ["psi.ecdh", "psi.rr22"])
def test_low_entropy_witness(protocol: str) -> None:
    """Hashed keys can be guessed, so a transcript holds none: the same keys give other bytes in every session."""
    held = elements([pa.array([f"p{i}" for i in range(40)])], ["exact/1"])
    terms = Terms(protocol=protocol, forms=("exact/1",), recipients=(0,), largest=100)
    runs = [run_session(lambda channel: intersect(channel, held, terms), NAMES[:2]) for _ in range(2)]
    assert [run.results[0].size for run in runs] == [40, 40]
    pieces = [
        {data[i : i + 32] for sent in run.sent for _, _, data in sent[1:] for i in range(0, len(data), 32)}
        for run in runs
    ]
    assert not pieces[0] & pieces[1]


def test_the_page_names_tests_that_exist() -> None:
    """Every row of the page names a test, and every test of this file has its row."""
    page = (ROOT / "docs" / "security" / "pitfalls.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", page)
    assert named
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test
    own = re.findall(r"^def (test_\w+)", Path(__file__).read_text(encoding="utf-8"), flags=re.MULTILINE)
    here = Path(__file__).relative_to(ROOT).as_posix()
    assert {test for path, test in named if path == here} == set(own) - {"test_the_page_names_tests_that_exist"}
