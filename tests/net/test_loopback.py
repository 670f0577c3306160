from __future__ import annotations

import secrets
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import BadInput, PartyLost
from lingqu.net.loopback import LoopbackListener

NAMES = ("alpha", "beta", "gamma")


def test_parties_talk_and_a_stranger_is_turned_away() -> None:
    session = secrets.token_bytes(16)
    listeners = [LoopbackListener() for _ in NAMES]
    endpoints = [listener.address for listener in listeners]
    strangers = [socket.create_connection(("127.0.0.1", int(endpoints[0].rpartition(":")[2]))) for _ in range(2)]
    strangers[0].sendall(secrets.token_bytes(16) + bytes((1, 0)))
    strangers[1].close()
    with ThreadPoolExecutor(3) as pool:
        meshes = [pool.submit(listener.mesh, session, i, NAMES, endpoints) for i, listener in enumerate(listeners)]
        channels = [mesh.result() for mesh in meshes]
    assert strangers[0].recv(1) == b""
    strangers[0].close()
    large = secrets.token_bytes(9 << 20)
    for channel in channels:
        channel.send((channel.party + 1) % 3, large, Tag.ELEMENTS)
    for channel in channels:
        assert channel.receive((channel.party - 1) % 3, len(large)) == large
        assert channel.traffic.sent == channel.traffic.received == len(large)
    channels[1].close()
    with pytest.raises(PartyLost, match="beta has left"):
        channels[0].receive(1, 8)
    for channel in channels:
        channel.close()


def test_a_party_that_does_not_come_is_named() -> None:
    listener = LoopbackListener()
    with pytest.raises(PartyLost, match="beta did not connect") as caught:
        listener.mesh(bytes(16), 0, NAMES, [listener.address] * 3, timeout=0.05)
    assert caught.value.party == "beta"


def test_nothing_but_the_loopback_is_taken() -> None:
    listener = LoopbackListener()
    with pytest.raises(BadInput, match="TLS"):
        listener.mesh(bytes(16), 1, NAMES, ["192.0.2.1:1", listener.address, listener.address])
    listener = LoopbackListener()
    with pytest.raises(PartyLost):
        listener.mesh(bytes(16), 1, NAMES, ["127.0.0.1:1"] * 3, timeout=1)
