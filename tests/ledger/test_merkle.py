"""The tree is RFC 6962's: published vectors, a naive twin, and proofs that fail when anything is changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.errors import Tampered
from lingqu.ledger.merkle import EMPTY_ROOT, Tree, check_consistency, check_inclusion, leaf_hash, node_hash

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "rfc6962.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]


def naive(leaves: list[bytes]) -> bytes:
    """The root as RFC 9162 section 2.1.1 writes it down."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(naive(leaves[:split]), naive(leaves[split:]))


def test_published_vectors() -> None:
    tree = Tree(LEAVES)
    assert EMPTY_ROOT.hex() == VECTORS["empty"]
    assert [tree.root(size + 1) for size in range(8)] == ROOTS
    for case in VECTORS["inclusion"]:
        proof = tree.inclusion(case["index"], case["size"])
        assert [step.hex() for step in proof] == case["proof"]
        check_inclusion(LEAVES[case["index"]], case["index"], case["size"], proof, ROOTS[case["size"] - 1])
    for case in VECTORS["consistency"]:
        first, second = case["first"], case["second"]
        proof = tree.consistency(first, second)
        assert [step.hex() for step in proof] == case["proof"]
        check_consistency(first, second, ROOTS[first - 1], ROOTS[second - 1], proof)


def test_every_proof_up_to_33_leaves() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(33)]
    tree = Tree(leaves)
    for second in range(34):
        assert tree.root(second) == naive(leaves[:second])
        for index in range(second):
            check_inclusion(leaves[index], index, second, tree.inclusion(index, second), tree.root(second))
        for first in range(second + 1):
            check_consistency(first, second, tree.root(first), tree.root(second), tree.consistency(first, second))


@settings(max_examples=50)
@given(size=st.integers(2, 40), data=st.data())
def test_no_changed_proof_holds(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    tree = Tree(leaves)
    first = data.draw(st.integers(1, size - 1))
    change = data.draw(st.sampled_from(("flip", "drop", "add", "swap roots", "size")))

    def included(proof: list[bytes], claimed: int) -> None:
        check_inclusion(leaves[first], first, claimed, proof, tree.root())

    def consistent(proof: list[bytes], claimed: int) -> None:
        check_consistency(first, claimed, tree.root(first), tree.root(), proof)

    for proof, check in ((tree.inclusion(first), included), (tree.consistency(first), consistent)):
        changed, claimed = list(proof), size
        if change == "flip" and changed:
            place = data.draw(st.integers(0, len(changed) - 1))
            changed[place] = bytes([changed[place][0] ^ 1]) + changed[place][1:]
        elif change == "drop" and changed:
            changed.pop()
        elif change == "add":
            changed.append(leaves[0])
        elif change == "swap roots":
            with pytest.raises(Tampered):
                check_consistency(first, size, tree.root(), tree.root(first), tree.consistency(first))
            continue
        else:
            claimed = first
        if (changed, claimed) != (proof, size):
            with pytest.raises(Tampered):
                check(changed, claimed)


def test_what_the_tree_does_not_hold() -> None:
    tree = Tree(LEAVES)
    for ask in (lambda: tree.root(9), lambda: tree.inclusion(8), lambda: tree.consistency(9), lambda: tree.root(-1)):
        with pytest.raises(Tampered, match="has 8 entries"):
            ask()
    with pytest.raises(Tampered, match="cannot be in a log of 8"):
        check_inclusion(LEAVES[0], 8, 8, [], ROOTS[7])
    with pytest.raises(Tampered):
        check_consistency(0, 8, ROOTS[0], ROOTS[7], [])
    with pytest.raises(Tampered):
        check_consistency(8, 4, ROOTS[7], ROOTS[3], [])
    with pytest.raises(Tampered):
        check_consistency(3, 8, ROOTS[2], ROOTS[7], [])
