"""Training by three parties that hold shares only: the same model as in the clear, at the declared cost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lingqu.engine.mechanism import connect
from lingqu.kinds.mechanism import Adversary, installed
from lingqu.ml import LogisticRegression, model_release
from lingqu.net.memory import memory_channels
from lingqu.plan.plan import Setting
from lingqu.share.plain import Plain

LEFT, RIGHT = "civil-affairs/people", "human-resources/work"
FEATURES = [f"{LEFT}.age", f"{LEFT}.town", f"{RIGHT}.hours", f"log1p({RIGHT}.gain)", f"{RIGHT}.member"]
PARTIES = ("civil-affairs", "human-resources", "big-data")


@pytest.mark.parametrize(("mechanism", "rows"), [("share.rep3", 400), ("share.two", 200)])
def test_parties_train_the_same_model(
    mechanism: str, rows: int, register: Callable[[str, pa.Table], dict[str, Any]], engine: SimpleNamespace
) -> None:
    left, right = engine.two_tables(rows)
    tables = {**register(LEFT, left), **register(RIGHT, right)}
    names = PARTIES[: installed().get(mechanism).threat.parties]
    setting = Setting(names, names[-1], 10, Adversary.SEMI_HONEST, (mechanism,), installed())
    spec = LogisticRegression(max_iter=8, holdout=0.4).specification(
        label=(f"{RIGHT}.income", "high"), features=FEATURES, on="id"
    )
    plan = engine.compile_spec(spec, tables, setting)
    scanned = engine.scan_all(plan, tables)
    channels = memory_channels(names)
    sent: list[dict[str, int]] = [{} for _ in names]

    def party(index: int) -> Any:
        channel = channels[index]
        try:
            machine = connect(mechanism, channel)
            return engine.run(
                plan,
                machine,
                scanned,
                lambda: channel.traffic,
                lambda step, spent: sent[index].__setitem__(step.id, spent.sent),
            )
        except BaseException:
            channel.close()  # the others learn at once
            raise

    with ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(party, range(len(names))))
    for channel in channels:
        channel.close()
    assert results[:-1] == [None] * (len(names) - 1)
    values, expected = results[-1].values, engine.run(plan, Plain(), scanned).values
    assert np.allclose(values["coefficients"], expected["coefficients"], atol=1e-2)
    assert abs(values["auc"][0] - expected["auc"][0]) <= 2e-3
    release = model_release(plan, values, released="2026-01-01T00:00:00Z")
    assert release.mechanism == mechanism
    if installed().get(mechanism).preparation is not None:
        return  # correlations are made in the order in which they are needed, which the plan's figures do not follow
    for step in ("train", "evaluate", "release"):
        assert sum(party_sent[step] for party_sent in sent) == plan.step(step).bytes
