"""One party of benchmarks/psi.py: reads jobs as lines of JSON, runs each with its peer over the loopback, answers.

A job: {"work", "files", "input", "output", "repeat", "shaped": null or [seconds one way, bytes a second]}.
An answer: {"times", "processor": seconds, one a run after the first, "bytes" and "rounds" of one run, "peak": MB of
resident memory, "found"}.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.psi_rows import WORK, prepare
from lingqu.kinds.channel import Channel
from lingqu.net.loopback import LoopbackListener
from lingqu.net.shaped import ShapedChannel

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")


def processor() -> float:
    """Seconds of processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def forget_peak() -> None:
    """Begin to watch the peak of resident memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """The peak of resident memory since then, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def meet(channel: Channel) -> None:
    """Wait until all parties are here, so that no party's clock runs while another still prepares."""
    for others in (False, True):
        for peer in range(len(channel.parties)):
            if peer != channel.party and (channel.party == 0) == others:
                channel.send(peer, b"")
        for peer in range(len(channel.parties)):
            if peer != channel.party and (peer == 0) == others:
                channel.receive(peer, 0)


def counted(channel: Channel) -> tuple[int, int]:
    """Bytes sent and rounds so far."""
    traffic = channel.traffic
    return traffic.sent, traffic.rounds


def run(channel: Channel, job: dict[str, Any]) -> dict[str, Any]:
    """All runs of one job."""
    if job["shaped"]:
        channel = ShapedChannel(channel, *job["shaped"])
    ready, work = prepare(job), WORK[job["work"]]
    times, used = [], []
    forget_peak()
    for _ in range(job["repeat"] + 1):
        meet(channel)
        before, start, began = counted(channel), time.perf_counter(), processor()
        found = work(channel, job, ready)
        times.append(time.perf_counter() - start)
        used.append(processor() - began)
    sent, rounds = (now - then for now, then in zip(counted(channel), before, strict=True))
    return {
        "times": times[1:],
        "processor": used[1:],
        "bytes": sent,
        "rounds": rounds,
        "peak": peak(),
        "found": found,
    }


def main() -> None:
    """Join the mesh that the parent describes, then answer jobs."""
    opening = json.loads(sys.stdin.readline())
    listener = LoopbackListener()
    print(json.dumps(listener.address), flush=True)
    endpoints = json.loads(sys.stdin.readline())
    names = NAMES[: len(endpoints)]
    channel = listener.mesh(bytes.fromhex(opening["session"]), opening["party"], names, endpoints)
    for line in sys.stdin:
        print(json.dumps(run(channel, json.loads(line))), flush=True)
    channel.close()


if __name__ == "__main__":
    main()
