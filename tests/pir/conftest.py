"""A client and a server of a lookup, in threads over channels in memory."""

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
Wrap = Callable[[Channel], Channel]


@dataclass
class Both:
    """What the client and the server return, and what each sent."""

    results: list[Any]
    traffic: list[Traffic]


def run_both(client: Work, server: Work, wraps: tuple[Wrap | None, Wrap | None] = (None, None)) -> Both:
    """Run both; a wrap puts a hostile layer around one's channel. Raises the first failure that is no lost peer."""
    channels = memory_channels(("client", "server"), timeout=20)
    results: list[Any] = [None, None]
    failures: list[BaseException] = []

    def run(party: int, work: Work) -> None:
        channel: Channel = channels[party]
        wrap = wraps[party]
        try:
            results[party] = work(wrap(channel) if wrap else channel)
        except BaseException as error:
            failures.append(error)
            channels[party].close()

    threads = [threading.Thread(target=run, args=(i, work), daemon=True) for i, work in enumerate((client, server))]
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
