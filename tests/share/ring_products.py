"""Products among three parties whose messages can be altered, and their record for the proof."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.rep3.malicious.ring import RingProofs
from lingqu.share.rep3.malicious.ring_claims import bit, whole
from lingqu.share.rep3.session import Parts, Session

Words = NDArray[np.uint64]
Alter = Callable[[Words], Words]


def words(rng: np.random.Generator, count: int) -> Words:
    return rng.integers(0, 2**64, count, np.uint64)


def shares(session: Session, seed: int, x: Words, y: Words) -> tuple[Parts, Parts]:
    """The same random sharings at all parties."""
    rng = np.random.default_rng(seed)

    def shared(row: Words) -> Parts:
        first, second = words(rng, len(row)), words(rng, len(row))
        components = (first, second, row - first - second)
        return components[session.party], components[session.after]

    return shared(x), shared(y)


def masked(session: Session, proofs: RingProofs, local: Words, alter: Alter | None) -> tuple[Words, Parts]:
    """Send this party's component; the next one's, and the masks."""
    masks = session.draw(session.party, len(local)), session.draw(session.party + 1, len(local))
    own = local + masks[0] - masks[1]
    session.send(session.before, alter(own) if alter else own)
    return session.receive(session.after, len(local)), masks


def cross(x: Parts, y: Parts, by: Callable[[Words, Words], Words] = np.multiply) -> Words:
    return by(x[0], y[0]) + by(x[0], y[1]) + by(x[1], y[0])


def multiply(session: Session, proofs: RingProofs, x: Parts, y: Parts, alter: Alter | None = None) -> None:
    received, masks = masked(session, proofs, cross(x, y), alter)
    proofs.product(x, y, received, masks)


def dot(session: Session, proofs: RingProofs, x: Parts, y: Parts, outputs: int, strided: bool) -> None:
    products = cross(x, y)
    summed = products.reshape(-1, outputs).sum(0) if strided else products.reshape(outputs, -1).sum(1)
    received, masks = masked(session, proofs, summed.astype(np.uint64), None)
    proofs.dot(x, y, received, masks, strided)


def matmul(
    session: Session,
    proofs: RingProofs,
    x: Parts,
    y: Parts,
    sizes: tuple[int, int, int],
    turned: bool = False,
    alter: Alter | None = None,
) -> None:
    local = cross(x, y, lambda a, b: _core.matmul(a, b, sizes, turned))
    received, masks = masked(session, proofs, local, alter)
    proofs.matmul(x, y, received, masks, sizes, turned)


def bits(session: Session, proofs: RingProofs, prover: int, seed: int, count: int, alter: Alter | None = None) -> None:
    """One party shares sums of a product of two bits, weighed, and of one of a bit and a word that it knows."""
    rng = np.random.default_rng(seed)
    one, two, three, drawn = (words(rng, count) for _ in range(4))
    left, right = [bit(one, 63), bit(two, 5)], [bit(two, 20, -2), whole(three)]
    top, low = one >> np.uint64(63), two >> np.uint64(5) & np.uint64(1)
    known = top * (two >> np.uint64(20) & np.uint64(1)) * np.uint64(2**64 - 2) + low * three - drawn
    assert session.party != prover or np.array_equal(known, _core.dot_masked(left, right, drawn))
    known = alter(known) if alter else known
    sides = {prover: (left, right), (prover + 2) % 3: (left, None), (prover + 1) % 3: (None, right)}
    proofs.single(prover, *sides[session.party], drawn if session.party == (prover + 2) % 3 else known)


def move(session: Session, proofs: RingProofs, prover: int, order_at: int, sizes: tuple[int, int], seed: int) -> None:
    """A message from the prover to the verifier that knows the order, of rows in that order less what both draw."""
    rng, (rows, columns) = np.random.default_rng(seed), sizes
    order, table = rng.permutation(rows).astype(np.uint32), words(rng, rows * columns)
    one = words(rng, rows * columns)
    two = _core.gather(table, order, columns) - one
    summand = {(prover + 2) % 3: one, (prover + 1) % 3: two, prover: two}[session.party]
    knows = session.party in (prover, order_at), session.party != order_at
    other = one if session.party == prover else None
    proofs.moved(prover, order_at, sizes, order if knows[0] else None, table if knows[1] else None, summand, other)
