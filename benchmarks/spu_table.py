"""The rows of benchmarks/mpc.py on SPU's ABY3 over FM64: three processes over loopback TCP, inputs already shared.

benchmarks/mpc.py runs it with the Python of `.venv-spu`, where SPU is installed and Lingqu is not:
python benchmarks/spu_table.py REPEAT  reads names of rows, one a line, and answers each with a line of JSON:
{"row", "times": seconds of the slowest party in each run after the first, "processor": seconds of processor time
of all parties in each, "bytes": sent by each party in one run,
"worst": greatest error against numpy} or {"row", "error"}.
The bytes are those of SPU's own profile, taken in one more run, so that profiling does not touch the times.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PARTIES = 3
SENT = re.compile(r"total send bytes (\d+)")
TIMEOUT = 200
EPOCHS, RATE, PATIENTS, TRAITS = 10, 0.1, 569, 30


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _integers(count: int) -> list[Array]:
    return [_random(i).integers(0, 1 << 40, count) for i in (1, 2)]


def _reals(low: float, high: float, *shapes: tuple[int, ...]) -> list[Array]:
    return [_random(i).uniform(low, high, shape) for i, shape in enumerate(shapes)]


def _patients() -> list[Array]:
    (x,) = _reals(-2, 2, (PATIENTS, TRAITS))
    return [x, (x.sum(axis=1, keepdims=True) > 0).astype(np.float64), np.zeros((TRAITS, 1))]


MILLION, MUCH = 1_000_000, 100_000
INPUTS: dict[str, Callable[[], list[Array]]] = {
    "multiply 1e6": lambda: _reals(-100, 100, (MILLION,), (MILLION,)),
    "multiply 1e6, integers": lambda: _integers(MILLION),
    "less-than 1e6": lambda: _integers(MILLION),
    "equality 1e6": lambda: _integers(MILLION),
    "matmul 1000x1000x1000": lambda: _reals(-1, 1, (1000, 1000), (1000, 1000)),
    "matmul 4096x128x32": lambda: _reals(-1, 1, (4096, 128), (128, 32)),
    "sigmoid 1e5": lambda: _reals(-8, 8, (MUCH,)),
    "exp 1e5": lambda: _reals(-4, 4, (MUCH,)),
    "division 1e5": lambda: [*_reals(-100, 100, (MUCH,)), *_reals(1, 100, (MUCH,))],
    "sort 1e4": lambda: _integers(10_000)[:1],
    "sort 1e5": lambda: _integers(MUCH)[:1],
    "shuffle 1e6": lambda: _integers(MILLION)[:1],
    "logistic 569x30, 10 epochs": _patients,
}
"""The inputs of each row, for both engines."""


def clear(row: str, inputs: list[Array]) -> Array | None:
    """What numpy computes for a row of real functions; None where only the time counts."""
    if row.startswith("sigmoid"):
        return np.asarray(1 / (1 + np.exp(-inputs[0])))
    if row.startswith("exp"):
        return np.asarray(np.exp(inputs[0]))
    if row.startswith("division"):
        return np.asarray(inputs[0] / inputs[1])
    return None


def functions() -> dict[str, Callable[..., Any]]:
    """The rows as JAX functions; SPU has no shuffle to call."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def logistic(x: Any, y: Any, w: Any) -> Any:
        for _ in range(EPOCHS):
            w = w - RATE / PATIENTS * jnp.matmul(x.T, jax.nn.sigmoid(jnp.matmul(x, w)) - y)
        return w

    return {
        "multiply 1e6": jnp.multiply,
        "multiply 1e6, integers": jnp.multiply,
        "less-than 1e6": jnp.less,
        "equality 1e6": jnp.equal,
        "matmul 1000x1000x1000": jnp.matmul,
        "matmul 4096x128x32": jnp.matmul,
        "sigmoid 1e5": jax.nn.sigmoid,
        "exp 1e5": jnp.exp,
        "division 1e5": jnp.divide,
        "sort 1e4": jnp.sort,
        "sort 1e5": jnp.sort,
        "logistic 569x30, 10 epochs": logistic,
    }


def config() -> Any:
    """ABY3 over FM64, everything else SPU's default."""
    from spu import libspu

    return libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)


def prepare(folder: Path, row: str, function: Callable[..., Any]) -> None:
    """Compile a row and write it and every party's shares of its inputs."""
    import spu
    from spu import libspu
    from spu.utils import frontend

    inputs = INPUTS[row]()
    names = [f"in{i}" for i in range(len(inputs))]
    secret = libspu.Visibility.VIS_SECRET

    def outputs(flat: list[Any]) -> list[str]:
        return [f"out{i}" for i in range(len(flat))]

    kind, vis = frontend.Kind.JAX, [secret] * len(names)
    executable, _ = frontend.compile(kind, function, inputs, {}, names, vis, outputs)
    (folder / "executable").write_bytes(executable.SerializeToString())
    maker = spu.Io(PARTIES, config())
    for name, values in zip(names, inputs, strict=True):
        for party, share in enumerate(maker.make_shares(values, secret)):
            (folder / f"{name}.{party}.meta").write_bytes(share.meta)
            for i, chunk in enumerate(share.share_chunks):
                (folder / f"{name}.{party}.{i:04d}").write_bytes(chunk)
    endpoints = []
    for _ in range(PARTIES):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            endpoints.append(f"127.0.0.1:{probe.getsockname()[1]}")
    (folder / "endpoints").write_text("\n".join(endpoints))


def read_share(folder: Path, name: str, party: int) -> Any:
    """A party's share of an input."""
    from spu import libspu

    share = libspu.Share()
    share.meta = (folder / f"{name}.{party}.meta").read_bytes()
    share.share_chunks = [path.read_bytes() for path in sorted(folder.glob(f"{name}.{party}.[0-9]*"))]
    return share


def party(folder: Path, rank: int, repeat: int) -> None:
    """One party: run the row, the first time not counted, then once more with SPU's profile."""
    import spu
    from spu import libspu

    executable = libspu.Executable()
    executable.ParseFromString((folder / "executable").read_bytes())
    roster = libspu.link.Desc()
    for i, endpoint in enumerate((folder / "endpoints").read_text().split()):
        roster.add_party(f"party{i}", endpoint)
    link = libspu.link.create_brpc(roster, rank)
    runtime = spu.Runtime(link, config())
    shares = {name: read_share(folder, name, rank) for name in executable.input_names}
    times, processor = [], []
    for name, share in shares.items():
        runtime.set_var(name, share)
    for _ in range(repeat + 1):
        link.barrier()
        used, start = time.process_time(), time.perf_counter()
        runtime.run(executable)
        times.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    out = runtime.get_var(executable.output_names[0])
    (folder / f"out.{rank}.meta").write_bytes(out.meta)
    for i, chunk in enumerate(out.share_chunks):
        (folder / f"out.{rank}.{i:04d}").write_bytes(chunk)
    (folder / f"times.{rank}").write_text(json.dumps([times[1:], processor[1:]]))
    profiled = config()
    profiled.enable_pphlo_profile = True
    runtime = spu.Runtime(link, profiled)
    for name, share in shares.items():
        runtime.set_var(name, share)
    link.barrier()
    runtime.run(executable)
    link.barrier()
    link.stop_link()


def measure(row: str, function: Callable[..., Any], repeat: int) -> dict[str, Any]:
    """Three processes for one row."""
    import spu

    with tempfile.TemporaryDirectory(prefix="spu-table-") as name:
        folder = Path(name)
        prepare(folder, row, function)
        processes = []
        for rank in range(PARTIES):
            with (folder / f"log.{rank}").open("wb") as log:
                command = (sys.executable, __file__, "--party", name, str(rank), str(repeat))
                processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        try:
            deadline = time.monotonic() + TIMEOUT
            statuses = [process.wait(max(deadline - time.monotonic(), 0.1)) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        logs = [(folder / f"log.{rank}").read_text(errors="replace") for rank in range(PARTIES)]
        if any(statuses):
            return {"row": row, "error": f"statuses {statuses}: {logs[0].strip()[-200:]}"}
        figures = [json.loads((folder / f"times.{rank}").read_text()) for rank in range(PARTIES)]
        times, processor = zip(*figures, strict=True)
        sent = [sum(int(found) for found in SENT.findall(log)) for log in logs]
        expected = clear(row, INPUTS[row]())
        worst = None
        if expected is not None:
            outs = [read_share(folder, "out", rank) for rank in range(PARTIES)]
            worst = float(np.max(np.abs(spu.Io(PARTIES, config()).reconstruct(outs) - expected)))
    return {
        "row": row,
        "times": [max(run) for run in zip(*times, strict=True)],
        "processor": [sum(run) for run in zip(*processor, strict=True)],
        "bytes": sent,
        "worst": worst,
    }


def main(repeat: int) -> None:
    """Measure each row that is asked for."""
    known = functions()
    for line in sys.stdin:
        row = line.strip()
        result: dict[str, Any] = {"row": row, "error": "SPU has no such function"}
        if row in known:
            try:
                result = measure(row, known[row], repeat)
            except (subprocess.TimeoutExpired, RuntimeError) as error:
                result = {"row": row, "error": str(error)[:200]}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--party":
        party(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        main(int(sys.argv[1]))
