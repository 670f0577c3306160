"""Two parties of an intersection, in threads over channels in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from lingqu.kinds.channel import Channel, Traffic
from lingqu.kinds.errors import PartyLost
from lingqu.net.memory import memory_channels

Work = Callable[[Channel], Any]


@dataclass
class Both:
    """Each party's result, and what each sent."""

    results: list[Any]
    traffic: list[Traffic]


def run_both(one: Work, two: Work, wrap: Callable[[Channel], Channel] | None = None) -> Both:
    """Run two parties' work; `wrap` puts a hostile layer around the second one's channel. Raises the first failure."""
    channels = memory_channels(("alpha", "beta"), timeout=20)
    results: list[Any] = [None, None]
    failures: list[BaseException] = []

    def serve(party: int, work: Work) -> None:
        channel: Channel = channels[party]
        try:
            results[party] = work(wrap(channel) if wrap and party == 1 else channel)
        except BaseException as error:
            failures.append(error)
            channels[party].close()

    threads = [threading.Thread(target=serve, args=(i, work), daemon=True) for i, work in enumerate((one, two))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        real = [error for error in failures if not isinstance(error, PartyLost)]
        raise (real or failures)[0]
    return Both(results, [channel.traffic for channel in channels])


@pytest.fixture(scope="session")
def both() -> Callable[..., Both]:
    """`run_both`, for tests that cannot import a conftest."""
    return run_both
