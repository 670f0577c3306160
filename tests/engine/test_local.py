from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

import lingqu
from lingqu.engine.local import Local, place_of
from lingqu.engine.party import dump, found, load
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, RangeError
from lingqu.kinds.mechanism import installed
from lingqu.share import Machine, Shared
from lingqu.share.arrays import Range, fixed, float64, int64, on_arrays
from lingqu.share.graphs import secure


def product_and_order(machine: Machine, x: Shared, y: Shared) -> dict[str, Any]:
    return {
        "product": machine.reveal_real(machine.multiply_real(x, y)),
        "order": machine.reveal_bits(machine.less_than(x, y)),
        "total": machine.reveal_real(machine.sum(machine.add(x, y))),
    }


def doubled(machine: Machine, x: Shared) -> Any:
    return machine.reveal(machine.scale(x, 2))


def compared(machine: Machine, x: Shared) -> None:
    machine.less_than(x, machine.scale(x, 2))


def fails_at_beta(machine: Machine, x: Shared) -> Any:
    if machine.party == 1:
        raise ValueError("no such luck")
    return machine.reveal(machine.multiply(x, x))


def leaves_at_gamma(machine: Machine, x: Shared) -> Any:
    if machine.party == 2:
        os._exit(7)
    return machine.reveal(machine.multiply(x, x))


def returns_shares(machine: Machine, x: Shared) -> Any:
    return machine.add(x, 1)


@pytest.fixture(scope="module")
def trial() -> Iterator[Local]:
    with lingqu.local() as running:
        yield running


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def soon_gone(pids: list[int]) -> bool:
    pause = Event()
    return any(all(map(gone, pids)) or pause.wait(0.05) for _ in range(400))


def test_a_function_on_shares_equals_numpy(trial: Local) -> None:
    x, y = np.linspace(-3, 3, 12).reshape(3, 4), np.linspace(2, -1, 12).reshape(3, 4)
    report = trial.run(product_and_order, x, y, owners=[2, 0])
    alpha, beta, _ = report.results
    assert isinstance(alpha, dict)
    assert isinstance(beta, dict)
    np.testing.assert_allclose(alpha["product"], x * y, atol=1e-5)
    np.testing.assert_array_equal(beta["order"], x < y)
    np.testing.assert_allclose(beta["total"], (x + y).sum(), atol=1e-4)


def test_a_party_returns_only_what_it_received(trial: Local) -> None:
    report = trial.run(doubled, np.arange(5))
    assert all(isinstance(one, np.ndarray) and one.tolist() == [0, 2, 4, 6, 8] for one in report.results)


def test_the_report_counts_each_operation(trial: Local) -> None:
    report = trial.run(compared, np.arange(1000), repeat=3)
    assert len(report.times) == 3
    assert report.result is None
    names = [one.name for one in report.operations]
    assert names == ["scale", "less_than", "(local work)"]
    scale, compare, _ = report.operations
    assert (scale.rounds, scale.bytes) == (0, 0)
    declared = installed().get(trial.mechanism).cost("less_than", {"rows": 1000})
    assert (compare.calls, compare.rounds) == (1, declared.rounds)
    assert compare.bytes == sum(report.bytes) == declared.bytes
    assert "less_than" in str(report)


def test_latency_is_felt_by_every_round() -> None:
    with lingqu.local(latency=0.01, bandwidth=1e9, tls=False) as slow:
        report = slow.run(compared, np.arange(10))
    assert report.seconds >= 0.01 * report.rounds > 0


@pytest.mark.parametrize("tls", [True, False])
def test_a_failing_party_names_itself_and_leaves_no_process(tls: bool) -> None:
    with lingqu.local(tls=tls) as running:
        pids = list(running.pids)
        with pytest.raises(LingquError, match=r"beta failed with ValueError: no such luck \(test_local\.py:") as caught:
            running.run(fails_at_beta, np.arange(3))
        assert caught.value.party == "beta"
        assert all(map(gone, pids))
        with pytest.raises(BadInput, match="do not run"):
            running.run(doubled, np.arange(3))


def test_a_party_that_dies_is_named() -> None:
    with lingqu.local() as running, pytest.raises(PartyLost) as caught:
        running.run(leaves_at_gamma, np.arange(3))
    assert caught.value.party == "gamma"


def test_an_owner_s_bad_value_is_that_owner_s_error() -> None:
    with lingqu.local() as running, pytest.raises(RangeError) as caught:
        running.run(doubled, np.array([1e300]), owners=[1])
    assert caught.value.party == "beta"


def test_the_parties_end_with_their_parent() -> None:
    code = "import lingqu, sys\nt = lingqu.local().__enter__()\nprint(*t.pids, flush=True)\nsys.stdin.read()\n"
    with subprocess.Popen((sys.executable, "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        assert not any(map(gone, pids))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert soon_gone(pids)


def test_what_cannot_be_run_is_said_before_it_runs(trial: Local) -> None:
    def inner(machine: Machine) -> None:
        machine.constant(1)

    for function in (inner, lambda machine: None, np.add, Machine.add):
        with pytest.raises(BadInput, match=r"top level"):
            trial.run(function)
    with pytest.raises(BadInput, match="cannot be shared"):
        trial.run(doubled, np.array(["a"]))
    with pytest.raises(BadInput, match="owners"):
        trial.run(doubled, np.arange(2), owners=[3])
    with pytest.raises(BadInput, match="0 times"):
        trial.run(doubled, np.arange(2), repeat=0)
    with pytest.raises(BadInput, match="run already"):
        trial.__enter__()
    for bad in ({"parties": 4}, {"latency": -1.0}, {"bandwidth": 0.0}):
        with pytest.raises(BadInput):
            lingqu.local(**bad)
    assert place_of(doubled)[1] == "doubled"


@on_arrays
def total_square(x: Any, known: Any) -> Any:
    xp = x.__array_namespace__()
    return xp.sum(xp.square(x) * known)


def squared(machine: Machine, x: Shared) -> Any:
    return machine.reveal_real(machine.multiply_real(x, x))


def test_what_may_overflow_is_refused_before_it_is_shared(trial: Local) -> None:
    ages = np.array([23.0, 41.0])
    narrow = Range((2,), float64, 0, 120)
    result = trial.run(squared, ages, ranges=[narrow]).result
    assert isinstance(result, np.ndarray)
    np.testing.assert_allclose(result, ages**2, atol=1e-4)
    with pytest.raises(RangeError, match=r"An operand of truncate may reach 2\^62.6, .* at test_local.py:\d+\."):
        trial.run(squared, ages, ranges=[Range((2,), float64, 0, 2500)])
    with pytest.raises(RangeError, match=r"Array 0 has entries outside its declared range\."):
        trial.run(squared, ages * 10, ranges=[narrow])
    known = np.array([True, False])
    flags = Range.of(known)
    trial.run(total_square, ages, known, ranges=[narrow, flags])
    with pytest.raises(RangeError, match=r"of multiply may reach 2\^.*, in square at test_local.py:"):
        trial.run(total_square, ages, known, ranges=[Range((2,), float64, -1e7, 1e7), flags])
    inputs = [np.ones(2), np.ones((6, 2)), np.ones(6)]
    with pytest.raises(RangeError, match=r", in JAX's dot_general test_local.py:\d+\."):
        trial.run(slope, *inputs, ranges=[Range(one.shape, float64, 0, 1600) for one in inputs])
    for wrong in ([], [Range((2,), int64, 0, 99)], [Range((3,), float64, 0, 99)], [Range((2,), fixed(16), 0, 99)]):
        with pytest.raises(BadInput):
            trial.run(squared, ages, ranges=wrong)
    assert trial.pids, "the trial goes on"


def test_two_parties_compute_alone() -> None:
    with lingqu.local(parties=2, tls=False) as running:
        assert running.mechanism == "share.two"
        report = running.run(doubled, np.arange(3))
    np.testing.assert_array_equal(report.result, 2 * np.arange(3))
    assert len(report.results) == 2


def test_shares_do_not_leave_a_party() -> None:
    with lingqu.local() as running, pytest.raises(BadInput, match="returns shares"):
        running.run(returns_shares, np.arange(2))


def test_a_party_takes_functions_only_and_no_pickle() -> None:
    assert found("lingqu.engine.local", "place_of") is place_of
    for module, name in (("lingqu.engine.local", "Local"), ("os", "system"), ("lingqu.nowhere", "f")):
        with pytest.raises(BadInput):
            found(module, name)
    for array in (np.arange(6).reshape(2, 3), np.float64(2.5), np.zeros((0, 2))):
        again = load(dump(np.asarray(array)))
        assert again.shape == np.shape(array)
        np.testing.assert_array_equal(again, array)
    with pytest.raises(ValueError, match="allow_pickle"):
        dump(np.array([{}], dtype=object))


@on_arrays
def standardised(x: Any, known: Any) -> Any:
    xp = x.__array_namespace__()
    return {"values": (x - xp.mean(x)) / xp.std(x), "chosen": xp.sum(xp.where(known, x, 0.0))}


@secure
def slope(weights: Any, x: Any, y: Any) -> Any:
    import jax

    return jax.grad(lambda w: ((x @ w - y) ** 2).mean())(weights), {"scores": x @ weights}


def test_functions_of_arrays_get_arrays_and_are_opened(trial: Local) -> None:
    x, known = np.linspace(-3, 3, 12), np.arange(12) % 3 == 0
    report = trial.run(standardised, x, known)
    assert isinstance(report.result, dict)
    np.testing.assert_allclose(report.result["values"], (x - x.mean()) / x.std(), atol=1e-4)
    np.testing.assert_allclose(report.result["chosen"], x[known].sum(), atol=1e-4)
    assert {"truncate", "inject", "reveal"} <= {one.name for one in report.operations}


def test_functions_of_jax_run_in_a_trial(trial: Local) -> None:
    x, y = np.arange(12.0).reshape(6, 2) / 10, np.arange(6.0)
    report = trial.run(slope, np.ones(2), x, y, owners=[1, 0, 2])
    assert isinstance(report.result, tuple)
    np.testing.assert_allclose(report.result[0], x.T @ (x @ np.ones(2) - y) / 3, atol=1e-4)
    np.testing.assert_allclose(report.result[1], x @ np.ones(2), atol=1e-4)
