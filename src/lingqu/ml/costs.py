"""The work of this room's steps, for the planner: operations with their public sizes, in order."""

from __future__ import annotations

from lingqu.kinds.mechanism import log2_ceil
from lingqu.ml.ranges import RESIDUAL, Schedule
from lingqu.ml.training import (
    METRIC_BITS,
    PRODUCT_SHIFT,
    SCORE_BITS,
    SCORE_SHIFT,
    STEP_SHIFT,
    gradient_shift,
    hessian_shift,
)
from lingqu.plan.choose import Work, opening
from lingqu.plan.plan import Setting


def training_work(run: Schedule, width: int, *, held: bool) -> tuple[Work, ...]:
    """What `training.train` does.  width: columns of the design matrix, the leading 1 included."""
    rows, times = run.rows, len(run.momentum)
    square = Work("matmul", {"rows": width, "inner": width, "columns": width}, run.doublings)
    product = Work("truncate", {"rows": width * width, "bits": PRODUCT_SHIFT}, run.doublings)
    inverse = Work("truncate", {"rows": width * width, "bits": RESIDUAL}, run.doublings)
    return (
        *([Work("multiply", {"rows": rows})] if held else []),
        Work("multiply", {"rows": rows * width}),
        Work("matmul", {"rows": width, "inner": rows, "columns": width}),
        Work("truncate", {"rows": width * width, "bits": hessian_shift(run)}),
        *(square, product, square, inverse),
        Work("matmul", {"rows": rows, "inner": width, "columns": 1}, times),
        Work("truncate", {"rows": rows, "bits": run.fraction}, times),
        Work("sigmoid", {"rows": rows}, times),
        Work("matmul", {"rows": 1, "inner": rows, "columns": width}, times),
        Work("truncate", {"rows": width, "bits": gradient_shift(run)}, times),
        Work("matmul", {"rows": width, "inner": width, "columns": 1}, times),
        Work("truncate", {"rows": 2 * width, "bits": STEP_SHIFT}, times),
    )


def evaluation_work(run: Schedule, width: int, *, held: bool) -> tuple[Work, ...]:
    """What `training.evaluate` does."""
    rows = run.rows
    counts = 4 if held else 2
    smallest = [
        Work(operation, {"rows": counts >> halving})
        for halving in range(1, log2_ceil(counts) + 1)
        for operation in ("less_than", "select")
    ]
    if not held:
        return (Work("multiply", {"rows": rows}), *smallest)
    levels = [Work("multiply", {"rows": 3 * (rows - (1 << level))}) for level in range(log2_ceil(rows))]
    return (
        Work("multiply", {"rows": rows}),
        Work("multiply", {"rows": 2 * rows}),
        Work("matmul", {"rows": rows, "inner": width, "columns": 1}),
        Work("truncate", {"rows": rows, "bits": run.fraction}),
        Work("less_than", {"rows": 2 * rows}),
        Work("inject", {"rows": 2 * rows}),
        Work("multiply", {"rows": rows}),
        Work("truncate", {"rows": rows, "bits": SCORE_SHIFT}),
        Work("to_bits", {"rows": rows}),
        Work("select", {"rows": rows}),
        Work("sort_columns", {"rows": rows, "bits": SCORE_BITS, "columns": 3}),
        Work("equal", {"rows": max(rows - 1, 0)}),
        Work("inject", {"rows": max(rows - 1, 0)}),
        *levels,
        Work("multiply", {"rows": 2 * rows}),
        Work("less_than", {"rows": 3}),
        Work("inject", {"rows": 3}),
        Work("divide", {"rows": 3}),
        Work("divide", {"rows": 1}),
        Work("to_bits", {"rows": len(METRIC_BITS)}),
        Work("inject", {"rows": sum(bits + 1 for bits in METRIC_BITS.values())}),
        *smallest,
    )


def release_work(setting: Setting, values: int) -> tuple[Work, ...]:
    """What opening a model to its recipients takes: its count is compared, its numbers multiplied by the outcome."""
    return (
        Work("less_than", {"rows": 1}),
        Work("inject", {"rows": 1}),
        Work("multiply", {"rows": values}),
        *opening(setting, values + 1, 1),
    )
