"""Training by three parties that hold shares only: the same model as in the clear, at the declared cost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from lingqu.kinds.mechanism import Adversary, Registry
from lingqu.ml import LogisticRegression, model_release
from lingqu.net.memory import memory_channels
from lingqu.plan.plan import Setting
from lingqu.share.plain import Plain
from lingqu.share.rep3 import DECLARATION, connect

LEFT, RIGHT = "civil-affairs/people", "human-resources/work"
FEATURES = [f"{LEFT}.age", f"{LEFT}.town", f"{RIGHT}.hours", f"log1p({RIGHT}.gain)", f"{RIGHT}.member"]
PARTIES = ("civil-affairs", "human-resources", "big-data")


def test_three_parties_train_the_same_model(
    register: Callable[[str, pa.Table], dict[str, Any]], engine: SimpleNamespace
) -> None:
    left, right = engine.two_tables(400)
    tables = {**register(LEFT, left), **register(RIGHT, right)}
    registry = Registry()
    registry.register(DECLARATION)
    setting = Setting(PARTIES, "big-data", 10, Adversary.SEMI_HONEST, ("share.rep3",), registry)
    spec = LogisticRegression(max_iter=8, holdout=0.4).specification(
        label=(f"{RIGHT}.income", "high"), features=FEATURES, on="id"
    )
    plan = engine.compile_spec(spec, tables, setting)
    scanned = engine.scan_all(plan, tables)
    channels = memory_channels(PARTIES)
    sent: list[dict[str, int]] = [{}, {}, {}]

    def party(index: int) -> Any:
        channel = channels[index]
        try:
            machine = connect(channel)
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

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(party, range(3)))
    for channel in channels:
        channel.close()
    assert results[0] is None
    assert results[1] is None
    values, expected = results[2].values, engine.run(plan, Plain(), scanned).values
    assert np.allclose(values["coefficients"], expected["coefficients"], atol=1e-2)
    assert abs(values["auc"][0] - expected["auc"][0]) <= 1e-3
    release = model_release(plan, values, released="2026-01-01T00:00:00Z")
    assert release.mechanism == "share.rep3"
    for step in ("train", "evaluate", "release"):
        assert sum(party_sent[step] for party_sent in sent) == plan.step(step).bytes
