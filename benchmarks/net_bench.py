"""Round-trip latency and throughput of the TLS channel, as ratios to raw loopback TCP measured in the same run.

Run: python benchmarks/net_bench.py
"""

from __future__ import annotations

import secrets
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

from lingqu.identity import Certificate, NodeKey
from lingqu.kinds.channel import Channel
from lingqu.net.memory import memory_channels
from lingqu.net.tls import listen

NAMES = ("ant", "bee")
TRIPS = 3000
REPEATS = 4
LARGE = 50 << 20


def join(directory: str, party: int, session: bytes, endpoints: list[str]) -> Channel:
    """One party's channel over the loopback."""
    key, certificate = (Path(directory) / f"{NAMES[party]}.{end}" for end in ("pem", "crt"))
    listener = listen("127.0.0.1", int(endpoints[party].rpartition(":")[2]), key=key, certificate=certificate)
    pinned = [Certificate.load(Path(directory) / f"{name}.crt") for name in NAMES]
    return listener.mesh(session, party, NAMES, endpoints, pinned)


def other_party(directory: str, session: bytes, endpoints: list[str]) -> None:
    """The second party, in a process of its own: echoes, then sends, then exchanges."""
    channel = join(directory, 1, session, endpoints)
    data = bytes(LARGE)
    for _ in range(TRIPS):
        channel.send(0, channel.receive(0, 64))
    for _ in range(REPEATS):
        channel.send(0, data)
    for _ in range(REPEATS):
        channel.send(0, data)
        channel.receive(0, LARGE)
    channel.receive(0, 0)
    channel.close()


def both(first: Callable[[], float], second: Callable[[], object]) -> float:
    """Run the second in a thread beside the first, and return the first's result."""
    thread = threading.Thread(target=second)
    thread.start()
    result = first()
    thread.join()
    return result


def trips(go: Callable[[], None]) -> float:
    """The median of the round trips, microseconds."""
    times = []
    for _ in range(TRIPS):
        start = time.perf_counter()
        go()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def channel_latency(a: Channel) -> float:
    """Microseconds for 64 bytes there and back."""

    def there() -> None:
        a.send(1, bytes(64))
        a.receive(1, 64)

    return trips(there)


def channel_one_way(a: Channel) -> float:
    """MB/s of what the peer sends."""
    start = time.perf_counter()
    for _ in range(REPEATS):
        a.receive(1, LARGE)
    return REPEATS * LARGE / (time.perf_counter() - start) / 1e6


def channel_both_ways(a: Channel) -> float:
    """MB/s in each direction while both send 50 MiB before they receive."""
    data = bytes(LARGE)
    start = time.perf_counter()
    for _ in range(REPEATS):
        a.send(1, data)
        a.receive(1, LARGE)
    return REPEATS * LARGE / (time.perf_counter() - start) / 1e6


def fill(connection: socket.socket, buffer: memoryview) -> None:
    """Receive until the buffer is full."""
    position = 0
    while position < len(buffer):
        position += connection.recv_into(buffer[position:])


def raw_other(port: int) -> None:
    """The second end of the plain TCP connection, in a process of its own: echoes, then sends."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = memoryview(bytearray(64))
        for _ in range(TRIPS):
            fill(connection, buffer)
            connection.sendall(buffer)
        data = bytes(LARGE)
        for _ in range(REPEATS):
            connection.sendall(data)


def raw_figures() -> tuple[float, float]:
    """Latency and one-way rate of plain TCP between two processes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = get_context("spawn").Process(target=raw_other, args=(server.getsockname()[1],))
        process.start()
        connection, _ = server.accept()
    small, large = memoryview(bytearray(64)), memoryview(bytearray(LARGE))
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def there() -> None:
            connection.sendall(small)
            fill(connection, small)

        latency = trips(there)
        start = time.perf_counter()
        for _ in range(REPEATS):
            fill(connection, large)
        rate = REPEATS * LARGE / (time.perf_counter() - start) / 1e6
    process.join()
    return latency, rate


def memory_latency() -> float:
    """Microseconds for 64 bytes there and back between two threads."""
    a, b = memory_channels(NAMES)

    def back() -> None:
        for _ in range(TRIPS):
            b.send(0, b.receive(0, 64))

    return both(lambda: channel_latency(a), back)


def tls_figures(directory: str) -> tuple[float, float, float]:
    """Latency, one-way rate and both-ways rate of the TLS channel between two processes."""
    for name in NAMES:
        key = NodeKey.generate()
        key.save(Path(directory) / f"{name}.pem")
        (Path(directory) / f"{name}.crt").write_text(Certificate.issue(key, name, name).pem)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        endpoints = [f"127.0.0.1:{probe.getsockname()[1]}", "127.0.0.1:0"]
    session = secrets.token_bytes(16)
    process = get_context("spawn").Process(target=other_party, args=(directory, session, endpoints))
    process.start()
    a = join(directory, 0, session, endpoints)
    figures = channel_latency(a), channel_one_way(a), channel_both_ways(a)
    a.send(1, b"")
    process.join()
    a.close()
    return figures


def main() -> None:
    """Measure and print."""
    base_latency, base_rate = raw_figures()
    memory = memory_latency()
    with tempfile.TemporaryDirectory() as directory:
        latency, rate, duplex = tls_figures(directory)
    print(f"round trip of 64 bytes: TCP {base_latency:.0f} us, memory {memory:.0f} us ({memory / base_latency:.2f}x),")
    print(f"  TLS channel {latency:.0f} us ({latency / base_latency:.2f}x)")
    print(f"one way: TCP {base_rate:.0f} MB/s, TLS channel {rate:.0f} MB/s ({rate / base_rate:.2f}x)")
    print(f"both ways, each direction: TLS channel {duplex:.0f} MB/s ({duplex / base_rate:.2f}x)")


if __name__ == "__main__":
    main()
