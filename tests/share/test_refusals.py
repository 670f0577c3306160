"""What ends a session: messages of another size, orders that are none, another number of parties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import LingquError, ProtocolViolation
from lingqu.share import Machine
from lingqu.share.rep3 import DECLARATION, connect

Parties = Any


def test_a_message_of_another_size_ends_the_session(rep3: Parties) -> None:
    def work(m: Machine) -> None:
        m.input(0, np.zeros(2 + m.party, np.int64) if m.party == 0 else None, (2 + m.party,))

    with pytest.raises(ProtocolViolation):
        rep3(work)


def test_an_opened_order_must_be_a_permutation(parties: Parties) -> None:
    def work(m: Machine) -> None:
        x = m.constant(np.array([0, 0, 2]))
        m.apply(m.permutation(x), [x])

    with pytest.raises(ProtocolViolation):
        parties(work)


def test_connect_needs_three_parties_and_costs_what_it_declares() -> None:
    class Alone:
        party, parties = 0, ("alpha", "beta")

    with pytest.raises(LingquError):
        connect(Alone())  # type: ignore[arg-type]
    assert DECLARATION.cost("connect", {}).bytes == 48
    assert Tag.SEED
