"""SPU's private set intersection for benchmarks/psi.py: two processes over loopback TCP, CSV in and the result out.

benchmarks/psi.py runs it with the Python of `.venv-spu`, where SPU is installed and Lingqu is not, once for each party:
python benchmarks/spu_psi.py RANK PORT PORT  reads lines of JSON {"protocol", "input", "output", "repeat"} and answers
each with {"times", "processor", "bytes", "peak", "found"}, or {"error"}.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import spu.libspu as libspu
import spu.psi as psi

PROTOCOLS = {"RR22": "PROTOCOL_RR22", "KKRT": "PROTOCOL_KKRT", "ECDH": "PROTOCOL_ECDH"}


def processor() -> float:
    """Seconds of processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> float:
    """The peak of resident memory, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def loopback_sent() -> int:
    """Bytes that all programs have sent over this machine's loopback, headers of TCP and IP included."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == "lo":
            return int(figures.split()[8])
    return 0


def config(job: dict[str, Any]) -> Any:
    """SPU's own fastest settings: unique keys, no alignment of the result, one bucket, the result at one party."""
    protocol = psi.PsiProtocolConfig(
        protocol=psi.parse_protocol(PROTOCOLS[job["protocol"]]),
        receiver_rank=0,
        bucket_size=1 << 24,
        broadcast_result=False,
        ecdh_params=psi.EcdhParams(curve=psi.EllipticCurveType.CURVE_25519),
    )
    return psi.PsiExecuteConfig(
        protocol_conf=protocol,
        input_params=psi.InputParams(path=job["input"], selected_keys=["id"], keys_unique=True),
        output_params=psi.OutputParams(path=job["output"], disable_alignment=True),
    )


def run(link: Any, job: dict[str, Any]) -> dict[str, Any]:
    """All runs of one job; the first is left out of the figures."""
    times, used = [], []
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(job["repeat"] + 1):
        link.barrier()
        sent, start, began = loopback_sent(), time.perf_counter(), processor()
        report = psi.psi_execute(config(job), link)
        times.append(time.perf_counter() - start)
        used.append(processor() - began)
        sent = loopback_sent() - sent
    return {
        "times": times[1:],
        "processor": used[1:],
        "bytes": sent if link.rank == 0 else 0,
        "peak": peak(),
        "found": report.intersection_count,
    }


def main() -> None:
    """Connect and answer jobs."""
    rank, ports = int(sys.argv[1]), sys.argv[2:]
    roster = libspu.link.Desc()
    roster.recv_timeout_ms = 200_000
    for party, port in enumerate(ports):
        roster.add_party(f"party{party}", f"127.0.0.1:{port}")
    link = libspu.link.create_brpc(roster, rank)
    for line in sys.stdin:
        try:
            answer = run(link, json.loads(line))
        except RuntimeError as error:
            answer = {"error": str(error)[:200]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
