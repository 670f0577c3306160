"""The rows of benchmarks/mpc.py on SPU over FM64: ABY3 with three processes, CHEETAH with two, over loopback TCP.

benchmarks/mpc.py runs it with the Python of `.venv-spu`, where SPU is installed and Lingqu is not:
python benchmarks/spu_table.py  reads lines "PROTOCOL REPEAT ROW" and answers each with a line of JSON:
{"row", "times": seconds of the slowest party in each run after the first, "processor": seconds of processor time of all
parties in each, "bytes": sent by each party in one run,
"worst": greatest error against numpy} or {"row", "error"}.
The bytes are those of SPU's own profile, taken in one more run, so that profiling does not touch the times; a row that
takes so long that it is measured once has its profile taken in that very run.
A shaped row runs through relays that delay what passes, one for each ordered pair of parties.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PARTIES = {"ABY3": 3, "CHEETAH": 2}
SENT = re.compile(r"total send bytes (\d+)")
TIMEOUT = 280
EPOCHS, RATE, PATIENTS, TRAITS = 10, 0.1, 569, 30
STEP_ROWS = 1000
TRIP, BITS = 0.02, 100e6
LAYERS = 784, 128, 128, 10


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _integers(count: int, arrays: int = 2) -> list[Array]:
    return [_random(i).integers(0, 1 << 40, count) for i in range(1, arrays + 1)]


def _columns(rows: int) -> list[Array]:
    return [_random(1).integers(0, 99, (rows, 8))]


def _reals(low: float, high: float, *shapes: tuple[int, ...]) -> list[Array]:
    return [_random(i).uniform(low, high, shape) for i, shape in enumerate(shapes)]


def _patients(rows: int = PATIENTS, traits: int = TRAITS) -> list[Array]:
    (x,) = _reals(-2, 2, (rows, traits))
    return [x, (x.sum(axis=1, keepdims=True) > 0).astype(np.float64), np.zeros((traits, 1))]


def _network() -> list[Array]:
    shapes = [shape for pair in pairwise(LAYERS) for shape in (pair, pair[1:])]
    return [*_reals(0, 1, (128, LAYERS[0])), *_reals(-0.1, 0.1, *shapes)]


def _keyed(rows: int, below: int) -> list[Array]:
    return [_random(1).integers(0, below, rows), _random(2).integers(0, 1 << 30, rows)]


def _tables(rows: int) -> list[Array]:
    return [_random(i).permutation(2 * rows)[:rows] for i in (1, 2)]


SIZES = {"1e4": 10_000, "1e5": 100_000, "1e6": 1_000_000}


MILLION, MUCH = 1_000_000, 100_000
INPUTS: dict[str, Callable[[], list[Array]]] = {
    "multiply 1e6": lambda: _reals(-100, 100, (MILLION,), (MILLION,)),
    "multiply 1e6, integers": lambda: _integers(MILLION),
    "less-than 1e6": lambda: _integers(MILLION),
    "less-than 1e5": lambda: _integers(MUCH),
    "equality 1e6": lambda: _integers(MILLION),
    "matmul 1000x1000x1000": lambda: _reals(-1, 1, (1000, 1000), (1000, 1000)),
    "matmul 4096x128x32": lambda: _reals(-1, 1, (4096, 128), (128, 32)),
    "sigmoid 1e5": lambda: _reals(-8, 8, (MUCH,)),
    "exp 1e5": lambda: _reals(-4, 4, (MUCH,)),
    "division 1e5": lambda: [*_reals(-100, 100, (MUCH,)), *_reals(1, 100, (MUCH,))],
    "sort 1e4": lambda: _integers(10_000)[:1],
    "sort 1e5": lambda: _integers(MUCH)[:1],
    "shuffle 1e6": lambda: _integers(MILLION)[:1],
    "network 784-128-128-10, batch 128": _network,
    "logistic 569x30, 10 epochs": _patients,
    "logistic 100000x100, 1 epoch": lambda: _patients(MUCH, 100),
    "less-than 1e6, 20 ms 100 Mbit/s": lambda: _integers(MILLION),
    "sigmoid 1e5, 20 ms 100 Mbit/s": lambda: _reals(-8, 8, (MUCH,)),
    **{f"scaling: sort {name}": partial(_integers, size, 1) for name, size in SIZES.items()},
    **{f"scaling: shuffle {name} x 8": partial(_columns, size) for name, size in SIZES.items()},
    **{f"scaling: group {name} into 1000": partial(_keyed, size, 1000) for name, size in SIZES.items()},
    **{f"scaling: join {name} with {name}": partial(_tables, size) for name, size in SIZES.items()},
}
"""The inputs of each row, for both engines."""


def clear(row: str, inputs: list[Array]) -> Array | None:
    """What numpy computes for a row of real functions; None where only the time counts."""
    if row.startswith("sigmoid") and "Mbit" not in row:
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

    def step(x: Any, y: Any, w: Any) -> Any:
        return w - RATE / len(x) * jnp.matmul(x.T, jax.nn.sigmoid(jnp.matmul(x, w)) - y)

    def logistic(x: Any, y: Any, w: Any) -> Any:
        for _ in range(EPOCHS):
            w = step(x, y, w)
        return w

    def batches(x: Any, y: Any, w: Any) -> Any:
        for start in range(0, len(x), STEP_ROWS):
            w = step(x[start : start + STEP_ROWS], y[start : start + STEP_ROWS], w)
        return w

    def network(x: Any, *layers: Any) -> Any:
        for i in range(0, len(layers), 2):
            x = jnp.matmul(x, layers[i]) + layers[i + 1]
            x = jnp.maximum(x, 0) if i + 2 < len(layers) else x
        return x

    return {
        "multiply 1e6": jnp.multiply,
        "multiply 1e6, integers": jnp.multiply,
        "less-than 1e6": jnp.less,
        "less-than 1e5": jnp.less,
        "equality 1e6": jnp.equal,
        "matmul 1000x1000x1000": jnp.matmul,
        "matmul 4096x128x32": jnp.matmul,
        "sigmoid 1e5": jax.nn.sigmoid,
        "exp 1e5": jnp.exp,
        "division 1e5": jnp.divide,
        "sort 1e4": jnp.sort,
        "sort 1e5": jnp.sort,
        "network 784-128-128-10, batch 128": network,
        "logistic 569x30, 10 epochs": logistic,
        "logistic 100000x100, 1 epoch": batches,
        "less-than 1e6, 20 ms 100 Mbit/s": jnp.less,
        "sigmoid 1e5, 20 ms 100 Mbit/s": jax.nn.sigmoid,
    }


class Relay:
    """A port that passes connections on to another one, each direction late and at a bounded rate."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = None
                while far is None:
                    with contextlib.suppress(ConnectionRefusedError):
                        far = socket.create_connection(("127.0.0.1", self._to))
                    threading.Event().wait(0.0 if far else 0.05)
                for source, target in ((near, far), (far, near)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    queue: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
                    threading.Thread(target=_taken, args=(source, queue), daemon=True).start()
                    threading.Thread(target=_given, args=(target, queue), daemon=True).start()


def _taken(source: socket.socket, queue: SimpleQueue[tuple[float, bytes]]) -> None:
    """Read, and say when each piece has passed the link."""
    free, data = 0.0, b"-"
    with contextlib.suppress(OSError):
        while data:
            data = source.recv(1 << 16)
            free = max(free, time.monotonic()) + 8 * len(data) / BITS
            queue.put((free + TRIP / 2, data))


def _given(target: socket.socket, queue: SimpleQueue[tuple[float, bytes]]) -> None:
    """Write each piece at its time."""
    pause = threading.Event()
    with contextlib.suppress(OSError):
        while (item := queue.get())[1]:
            pause.wait(max(item[0] - time.monotonic(), 0.0))
            target.sendall(item[1])
        target.shutdown(socket.SHUT_WR)


def config(protocol: str) -> Any:
    """A protocol over FM64, everything else SPU's default."""
    from spu import libspu

    return libspu.RuntimeConfig(protocol=getattr(libspu.ProtocolKind, protocol), field=libspu.FieldType.FM64)


def prepare(folder: Path, protocol: str, row: str, function: Callable[..., Any]) -> list[Relay]:
    """Compile a row and write it, every party's shares of its inputs and the ways to the others; the relays to end."""
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
    parties = PARTIES[protocol]
    maker = spu.Io(parties, config(protocol))
    for name, values in zip(names, inputs, strict=True):
        for party, share in enumerate(maker.make_shares(values, secret)):
            (folder / f"{name}.{party}.meta").write_bytes(share.meta)
            for i, chunk in enumerate(share.share_chunks):
                (folder / f"{name}.{party}.{i:04d}").write_bytes(chunk)
    ports = []
    for _ in range(parties):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            ports.append(int(probe.getsockname()[1]))
    relays = []
    for rank in range(parties):
        ways = []
        for peer, port in enumerate(ports):
            if peer != rank and "Mbit" in row:
                relays.append(Relay(port))
            ways.append(f"127.0.0.1:{relays[-1].port if peer != rank and 'Mbit' in row else port}")
        (folder / f"endpoints.{rank}").write_text("\n".join(ways))
    return relays


def read_share(folder: Path, name: str, party: int) -> Any:
    """A party's share of an input."""
    from spu import libspu

    share = libspu.Share()
    share.meta = (folder / f"{name}.{party}.meta").read_bytes()
    share.share_chunks = [path.read_bytes() for path in sorted(folder.glob(f"{name}.{party}.[0-9]*"))]
    return share


def party(folder: Path, protocol: str, rank: int, repeat: int) -> None:
    """One party: run the row, the first time not counted, then once more with SPU's profile unless it runs once."""
    import spu
    from spu import libspu

    executable = libspu.Executable()
    executable.ParseFromString((folder / "executable").read_bytes())
    roster = libspu.link.Desc()
    for i, endpoint in enumerate((folder / f"endpoints.{rank}").read_text().split()):
        roster.add_party(f"party{i}", endpoint)
    link = libspu.link.create_brpc(roster, rank)
    profiled = config(protocol)
    profiled.enable_pphlo_profile = True
    once = repeat == 1
    runtime = spu.Runtime(link, profiled if once else config(protocol))
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
    if not once:
        runtime = spu.Runtime(link, profiled)
        for name, share in shares.items():
            runtime.set_var(name, share)
        link.barrier()
        runtime.run(executable)
    link.barrier()
    link.stop_link()


def sent_bytes(log: str, runs: int) -> int:
    """Bytes that a party sent in the last of some profiled runs, each of which logs the same number of lines."""
    lines = [int(found) for found in SENT.findall(log)]
    return sum(lines[len(lines) - len(lines) // runs :])


def measure(protocol: str, row: str, function: Callable[..., Any], repeat: int) -> dict[str, Any]:
    """A process a party for one row."""
    import spu

    with tempfile.TemporaryDirectory(prefix="spu-table-") as name:
        folder = Path(name)
        relays = prepare(folder, protocol, row, function)
        parties, processes = PARTIES[protocol], []
        for rank in range(parties):
            with (folder / f"log.{rank}").open("wb") as log:
                command = (sys.executable, __file__, "--party", name, protocol, str(rank), str(repeat))
                processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        try:
            deadline = time.monotonic() + TIMEOUT
            statuses = [process.wait(max(deadline - time.monotonic(), 0.1)) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
            for relay in relays:
                relay.close()
        logs = [(folder / f"log.{rank}").read_text(errors="replace") for rank in range(parties)]
        if any(statuses):
            return {"row": row, "error": f"statuses {statuses}: {logs[0].strip()[-200:]}"}
        figures = [json.loads((folder / f"times.{rank}").read_text()) for rank in range(parties)]
        times, processor = zip(*figures, strict=True)
        sent = [sent_bytes(log, runs=2 if repeat == 1 else 1) for log in logs]
        expected = clear(row, INPUTS[row]())
        worst = None
        if expected is not None:
            outs = [read_share(folder, "out", rank) for rank in range(parties)]
            worst = float(np.max(np.abs(spu.Io(parties, config(protocol)).reconstruct(outs) - expected)))
    return {
        "row": row,
        "times": [max(run) for run in zip(*times, strict=True)],
        "processor": [sum(run) for run in zip(*processor, strict=True)],
        "bytes": sent,
        "worst": worst,
    }


def main() -> None:
    """Measure each row that is asked for."""
    known = functions()
    for line in sys.stdin:
        protocol, repeat, row = line.strip().split(" ", 2)
        result: dict[str, Any] = {"row": row, "error": "SPU has no such function"}
        if row in known:
            try:
                result = measure(protocol, row, known[row], int(repeat))
            except (subprocess.TimeoutExpired, RuntimeError) as error:
                result = {"row": row, "error": str(error)[:200]}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--party"]:
        party(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
