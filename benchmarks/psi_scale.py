"""Intersections of sets larger than memory: files in, file out, two processes over plain TCP on the loopback.

`python -m benchmarks.psi_scale` prints rows, seconds, processor seconds and peak memory of each party, bytes of both.
Options: --rows 1e6,1e7 (each side; half of them in both), --protocol psi.rr22, --most (rows of a part), --output FILE.
The tables are Parquet files of 18-digit numbers as text, made in a folder of the system's own for temporary files
(--folder: another one), which needs room for the tables and about 45 bytes a row and party for the parts.
"""

from __future__ import annotations

import argparse
import json
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

ROWS = "1e4,1e5,1e6,1e7"
NAMES = ("alpha", "beta")
CHUNK = 1 << 20


def make(path: Path, rows: int, first: int, seed: int) -> None:
    """A table of `rows` different keys, numbers from `first` on, in random order within every million."""
    order = np.random.default_rng(seed)
    with parquet.ParquetWriter(path, pa.schema([("id", pa.string())])) as writer:
        for start in range(0, rows, CHUNK):
            numbers = first + start + order.permutation(min(CHUNK, rows - start))
            keys = pa.array(np.char.zfill(numbers.astype(str), 18).tolist(), pa.string())
            writer.write_table(pa.table({"id": keys}))


def party(job: dict[str, Any]) -> None:
    """One party's process: say where it listens, hear where the other does, run, say what it took."""
    from lingqu.net.loopback import LoopbackListener
    from lingqu.psi import Terms, intersect_files

    listener = LoopbackListener()
    print(listener.address, flush=True)
    endpoints = json.loads(sys.stdin.readline())
    channel = listener.mesh(bytes.fromhex(job["session"]), job["party"], NAMES, endpoints)
    terms = Terms(protocol=job["protocol"], forms=("exact/1",))
    begun = time.perf_counter()
    output = Path(job["output"]) if job["party"] == 0 else None
    outcome = intersect_files(
        channel, job["source"], ["id"], terms, Path(job["folder"]), output, most=job["most"], report=said
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "seconds": time.perf_counter() - begun,
        "processor": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * 1024 / 1e6,
        "sent": channel.traffic.sent,
        "rows": outcome.rows,
    }
    channel.close()
    print(json.dumps(figures), flush=True)


def said(done: int, total: int) -> None:
    """Progress in rows, for people."""
    sys.stderr.write(f"\r{done:,} of {total:,} rows ")


def measured(rows: int, protocol: str, most: int, folder: Path) -> list[dict[str, Any]]:
    """Both parties' figures; the result is compared with what it must be."""
    session = secrets.token_hex(16)
    running = []
    for place in range(2):
        source = folder / f"{NAMES[place]}.parquet"
        make(source, rows, place * (rows // 2), place)
        job = {
            "party": place,
            "session": session,
            "source": str(source),
            "folder": str(folder / NAMES[place]),
            "output": str(folder / "both.parquet"),
            "protocol": protocol,
            "most": most,
        }
        command = [sys.executable, "-m", "benchmarks.psi_scale", "--party", json.dumps(job)]
        pipe = subprocess.PIPE
        error = None if place == 0 else subprocess.DEVNULL
        running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=error, text=True))
    lines = [process.stdout.readline().strip() for process in running if process.stdout]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(json.dumps(lines) + "\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit(f"A party ended with {[process.returncode for process in running]}.")
    sys.stderr.write("\n")
    found = parquet.read_table(folder / "both.parquet").column("id")
    wanted = rows - rows // 2
    if len(found) != wanted or int(min(found.to_pylist(), default="0")) != rows // 2:
        raise SystemExit(f"{len(found)} rows are in the result, {wanted} should be.")
    return [json.loads(answer) for answer in answers]


def main() -> None:
    """Measure every size, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=ROWS)
    parser.add_argument("--protocol", default="psi.rr22")
    parser.add_argument("--most", type=float, default=1 << 19)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--output", default=None)
    parser.add_argument("--party", default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.party is not None:
        party(json.loads(asked.party))
        return
    print(f"{asked.protocol}, parts of about {int(asked.most):,} rows; Parquet in, Parquet out")
    print(f"{'rows a side':>12} {'seconds':>9} {'processor':>15} {'peak MB':>13} {'MB sent':>13} {'in both':>12}")
    kept = []
    for text in asked.rows.split(","):
        rows = int(float(text))
        with tempfile.TemporaryDirectory(dir=asked.folder, prefix="lingqu-psi-") as folder:
            one, two = measured(rows, asked.protocol, int(asked.most), Path(folder))
        processor = f"{one['processor']:.1f} + {two['processor']:.1f}"
        peaks = f"{one['peak']:.0f}, {two['peak']:.0f}"
        sent = f"{one['sent'] / 1e6:.1f} + {two['sent'] / 1e6:.1f}"
        seconds = max(one["seconds"], two["seconds"])
        print(f"{rows:12,} {seconds:9.1f} {processor:>15} {peaks:>13} {sent:>13} {one['rows']:12,}", flush=True)
        kept.append({"rows": rows, "seconds": seconds, "parties": [one, two]})
    if asked.output:
        Path(asked.output).write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
