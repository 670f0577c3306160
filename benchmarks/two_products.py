"""Seconds, processor seconds, bytes and memory of products between two parties without a dealer.

Run: python -m benchmarks.two_products [--repeat N] [ROW ...]; rows are "triples 1000000" or "matmul 4096x128x32".
One process for each party, plain TCP on the loopback, keys already exchanged.  Seconds are those of the slower party,
the median of the runs after one warm-up; MB are the payload of both; memory is the larger peak of the two processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median

from lingqu.net.loopback import LoopbackListener
from lingqu.share.two.products import Products

ROWS = ("triples 1000000", "matmul 4096x128x32", "matmul 1000x1000x1000")
NAMES = ("alpha", "beta")


@dataclass(frozen=True)
class Measured:
    """One run at one party: seconds by the clock and of the processor, bytes sent, rounds."""

    seconds: float
    processor: float
    sent: int
    rounds: int


def work_of(row: str) -> Callable[[Products], object]:
    """What a row does."""
    kind, _, size = row.partition(" ")
    if kind == "triples":
        return lambda products: products.triples(int(size))
    m, k, n = (int(part) for part in size.split("x"))
    return lambda products: products.matrix_triple(m, k, n)


def serve(party: int, pipe: Connection, row: str, repeat: int) -> None:
    """One party: the runs, then its peak memory in bytes."""
    listener = LoopbackListener()
    pipe.send(listener.address)
    session, endpoints = pipe.recv()
    channel = listener.mesh(session, party, NAMES, endpoints)
    products, work = Products(channel), work_of(row)
    for _ in range(repeat + 1):
        traffic = channel.traffic
        channel.send(1 - party, b"")
        channel.receive(1 - party, 0)
        sent, rounds = traffic.sent, traffic.rounds
        start, processor = time.perf_counter(), time.process_time()
        work(products)
        spent = time.process_time() - processor
        pipe.send(Measured(time.perf_counter() - start, spent, traffic.sent - sent, traffic.rounds - rounds))
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    channel.close()


def measure(row: str, repeat: int) -> str:
    """One line of the table."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for party in range(2):
        mine, theirs = context.Pipe()
        process = context.Process(target=serve, args=(party, theirs, row, repeat))
        process.start()
        theirs.close()
        pipes.append(mine)
        processes.append(process)
    endpoints = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send((bytes(16), endpoints))
    runs: list[tuple[Measured, ...]] = [tuple(pipe.recv() for pipe in pipes) for _ in range(repeat + 1)][1:]
    memory = max(pipe.recv() for pipe in pipes)
    for process in processes:
        process.join()
    seconds = [max(side.seconds for side in run) for run in runs]
    processor = median(sum(side.processor for side in run) for run in runs)
    sent, rounds = sum(side.sent for side in runs[0]), max(side.rounds for side in runs[0])
    return (
        f"{row:24} {median(seconds):8.3f} {min(seconds):8.3f} {processor:8.2f} {sent / 1e6:9.2f} {rounds:6d} "
        f"{memory / 1e6:8.0f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", default=ROWS)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    print(f"{'row':24} {'seconds':>8} {'least':>8} {'CPU s':>8} {'MB':>9} {'rounds':>6} {'peak MB':>8}")
    for row in given.rows:
        print(measure(row, given.repeat), flush=True)


if __name__ == "__main__":
    main()
