"""The steps "train" and "evaluate": logistic regression and its metrics, over shares.

Written over `share.api.Machine`, so one text serves the ideal twin and every protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lingqu.ml.ranges import FRACTION, HESSIAN, INVERSE, RESIDUAL, Schedule
from lingqu.ml.steps import EvaluateArguments, JoinArguments, TrainArguments
from lingqu.plan.frontend import Context, Sealed
from lingqu.plan.plan import Step
from lingqu.share import Machine, Relation, Shared, join

SCORE_BITS = 12
"""Scores are ranked in 2**12 buckets between -SCORE_LIMIT and SCORE_LIMIT; equal buckets count as ties."""
SCORE_LIMIT = 16
SCORE_SHIFT = FRACTION + 1 + (SCORE_LIMIT - 1).bit_length() - SCORE_BITS
"""Bits of a fixed-point score below one bucket."""
STEP_SHIFT = INVERSE + RESIDUAL - FRACTION + 2
"""Bits that a step of the descent has more than the weights; 2 of them are for momentum in quarters."""
PRODUCT_SHIFT = HESSIAN + INVERSE - RESIDUAL
"""Bits that the product of the Hessian and its inverse has more than the residual."""
METRIC_BITS = {"auc": 12, "accuracy": 10, "base_rate": 10}
"""Metrics are released in units of 2**-bits: of some hundred people or more, no count can be computed from that."""


@dataclass(frozen=True)
class Trained:
    """weights: intercept first, fixed point, shape (d + 1,).  rows: 0/1 a row, those trained on."""

    weights: Shared
    rows: Shared


def hessian_shift(schedule: Schedule) -> int:
    """Bits to cut from the Gram matrix for H / 2**shift."""
    return 2 * schedule.fraction + 2 + schedule.shift - HESSIAN


def gradient_shift(schedule: Schedule) -> int:
    """Bits to cut from the sum over the rows for the gradient."""
    return schedule.fraction + FRACTION + schedule.shift - RESIDUAL


def join_rows(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Relation:
    """The step "join": rows of both tables with equal keys; who matched stays hidden."""
    on = JoinArguments.of(step.arguments).on
    left, right = inputs
    return join(machine, left, right, [(pair[0], pair[1]) for pair in on])


def train(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Trained:
    """The step "train": weights that minimise the penalised log loss over the valid rows not held out.

    inputs: one Relation.  Discloses: nothing; the weights stay shared.
    """
    arguments = TrainArguments.of(step.arguments)
    relation: Relation = inputs[0]
    rows = relation.valid
    if arguments.holdout is not None:
        rows = machine.subtract(rows, machine.multiply(rows, relation.columns[arguments.holdout]))
    design = masked(machine, design_matrix(machine, relation, arguments.columns, arguments.schedule), rows)
    label = machine.scale(relation.columns[arguments.label], 1 << FRACTION)
    return Trained(descend(machine, design, label, arguments.schedule), rows)


def design_matrix(machine: Machine, relation: Relation, columns: Sequence[str], schedule: Schedule) -> Shared:
    """The encoded columns with a leading 1, shape (rows, d + 1), `schedule.fraction` fraction bits."""
    one = machine.constant(np.full(relation.rows, 1 << schedule.fraction, dtype=np.int64))
    return machine.stack([one, *(relation.columns[name] for name in columns)], axis=1)


def masked(machine: Machine, design: Shared, rows: Shared) -> Shared:
    """The design matrix with every row that does not count set to 0.  Cost: one multiplication an entry."""
    return machine.multiply(design, rows.reshape(-1, 1).broadcast_to(design.shape))


def descend(machine: Machine, design: Shared, label: Shared, schedule: Schedule) -> Shared:
    """Weights, shape (d + 1,), after the schedule's iterations of accelerated fixed-Hessian descent.

    design: (rows, d + 1), rows that do not count are 0.  label: 0 or 1 in fixed point; where a row does not count, any.
    With P <= H^-1 a step w = v - P grad J(v) never passes the minimum (Boehning, Lindsay 1988), and momentum in
    quarters makes it Nesterov's method.  Ranges: see `ranges.schedule`.
    """
    width = design.shape[1]
    inverse = damped_inverse(machine, hessian(machine, design, schedule), schedule)
    penalty = np.full(width, round(schedule.l2 * 2**schedule.fraction), dtype=np.int64)
    penalty[0] = 0
    here = ahead = machine.constant(np.zeros(width, dtype=np.int64))
    for quarters in schedule.momentum:
        scores = machine.matmul(design, ahead.reshape(-1, 1)).reshape(-1)
        chance = machine.sigmoid(machine.truncate(scores, schedule.fraction))
        residual = machine.subtract(chance, label)
        total = machine.matmul(residual.reshape(1, -1), design).reshape(-1)
        total = machine.add(total, machine.scale(ahead, penalty))
        gradient = machine.truncate(total, gradient_shift(schedule))
        step = machine.matmul(inverse, gradient.reshape(-1, 1)).reshape(-1)
        here, ahead = _advance(machine, ahead, here, step, quarters)
    return here


def _advance(machine: Machine, ahead: Shared, here: Shared, step: Shared, quarters: int) -> tuple[Shared, Shared]:
    """The next weights v - step, and the point ahead of them by momentum; both in one truncation."""
    bits = STEP_SHIFT - 2
    landed = machine.subtract(machine.scale(ahead, 1 << bits), step)
    beyond = machine.subtract(machine.scale(landed, 4 + quarters), machine.scale(here, quarters << bits))
    both = machine.truncate(machine.stack([machine.scale(landed, 4), beyond]), STEP_SHIFT)
    return both[0], both[1]


def hessian(machine: Machine, design: Shared, schedule: Schedule) -> Shared:
    """H / 2**shift with HESSIAN fraction bits: the curvature that the log loss nowhere exceeds.

    Source: Boehning, Lindsay 1988: p (1 - p) <= 1/4.
    """
    gram = machine.matmul(design.transpose(), design)
    scaled = machine.truncate(gram, hessian_shift(schedule))
    width = design.shape[1]
    penalty = np.eye(width, dtype=np.int64) * round(schedule.l2 * 2.0 ** (HESSIAN - schedule.shift))
    penalty[0, 0] = 0
    return machine.add(scaled, penalty)


def damped_inverse(machine: Machine, matrix: Shared, schedule: Schedule) -> Shared:
    """P with 0 <= P <= matrix^-1, INVERSE fraction bits, by Newton-Schulz steps P <- P (2I - matrix P).

    matrix: symmetric, HESSIAN fraction bits, eigenvalues in [0, schedule.start].  After k steps P is
    (1 - (1 - e/start)^(2^k)) / e on an eigenvalue e: the inverse where e is large, at most 2^k / start where small.
    """
    width = matrix.shape[0]
    inverse = machine.constant(np.eye(width, dtype=np.int64) * ((1 << INVERSE) // schedule.start))
    twice = np.eye(width, dtype=np.int64) * (2 << RESIDUAL)
    for _ in range(schedule.doublings):
        product = machine.truncate(machine.matmul(matrix, inverse), PRODUCT_SHIFT)
        residual = machine.add(machine.negate(product), twice)
        inverse = machine.truncate(machine.matmul(inverse, residual), RESIDUAL)
    return inverse


def evaluate(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Sealed:
    """The step "evaluate": the metrics over the held-out rows, and everything that may be released, still shared.

    inputs: Relation, Trained.  The count that the minimum group is held against is the smallest of four: positive and
    negative people trained on, and held out, so that no number rests on fewer people of either kind.
    """
    arguments = EvaluateArguments.of(step.arguments)
    relation: Relation = inputs[0]
    trained: Trained = inputs[1]
    label = relation.columns[arguments.label]
    values = {"intercept": trained.weights[:1], "coefficients": trained.weights[1:].reshape(1, -1)}
    fractions = {"intercept": FRACTION, "coefficients": FRACTION}
    groups = [trained.rows]
    if arguments.holdout is not None:
        held = machine.multiply(relation.valid, relation.columns[arguments.holdout])
        groups.append(held)
    positive = machine.multiply(machine.stack(groups), label.reshape(1, -1).broadcast_to((len(groups), len(label))))
    negative = machine.subtract(machine.stack(groups), positive)
    counts = machine.stack([machine.sum(positive, axis=1), machine.sum(negative, axis=1)])
    if arguments.holdout is not None:
        design = design_matrix(machine, relation, arguments.columns, arguments.schedule)
        scores = machine.matmul(design, trained.weights.reshape(-1, 1)).reshape(-1)
        buckets = score_buckets(machine, machine.truncate(scores, arguments.schedule.fraction))
        found = metrics(machine, buckets, positive[1], negative[1])
        for name in arguments.metrics:
            values[name] = found[name].reshape(1)
            fractions[name] = METRIC_BITS[name]
    return Sealed(values=values, count=smallest(machine, counts.reshape(-1)).reshape(1), fractions=fractions)


def score_buckets(machine: Machine, scores: Shared) -> Shared:
    """Integers 0 .. 2**SCORE_BITS - 1 that order as the scores do, those beyond +-SCORE_LIMIT cut off."""
    # One bucket is left free below, so that a truncation that rounds down at the bottom stays above 0.
    lifted = machine.add(scores, (SCORE_LIMIT << FRACTION) - (1 << SCORE_SHIFT))
    ceiling = (2 * SCORE_LIMIT << FRACTION) - (2 << SCORE_SHIFT)
    pair = machine.stack([lifted, machine.subtract(machine.constant(np.full(len(scores), ceiling)), lifted)])
    outside = machine.inject(machine.less_than(pair, 0))
    floored = machine.multiply(machine.negate(machine.sum(outside, axis=0)), lifted)
    kept = machine.add(machine.add(lifted, floored), machine.scale(outside[1], ceiling))
    return machine.truncate(machine.add(kept, 1 << SCORE_SHIFT), SCORE_SHIFT)


def metrics(machine: Machine, buckets: Shared, positive: Shared, negative: Shared) -> dict[str, Shared]:
    """auc, accuracy and base_rate in units of 2**-METRIC_BITS, shape () each.

    positive, negative: 0/1 a row; rows that are neither do not count.  Without both kinds the numbers mean nothing.
    AUC = 1/2 + (wins - losses) / (2 P N) over all pairs of a positive and a negative row (Mann, Whitney 1947); a
    positive wins against every negative in a lower bucket, loses against every one in a higher, in its own they tie.
    """
    words = machine.to_bits(buckets)
    high = machine.bit(words, SCORE_BITS - 1)
    keys = [machine.bit(words, place) for place in reversed(range(SCORE_BITS))]
    right = machine.select(high, positive, negative)
    order = machine.sort(keys)
    sorted_buckets, pair = machine.apply(order, [buckets, machine.stack([positive, negative], axis=1)])
    assert isinstance(sorted_buckets, Shared)
    assert isinstance(pair, Shared)
    below = before_ties(machine, sorted_buckets, machine.subtract(machine.cumsum(pair), pair))
    won = machine.multiply(pair, below[:, ::-1])
    difference = machine.sum(won, axis=0)
    difference = machine.subtract(difference[0], difference[1])
    totals = machine.sum(pair, axis=0)
    people = machine.sum(totals)
    divisors = machine.stack([totals[0], totals[1], people])
    empty = machine.inject(machine.less_than(divisors, 1))
    divisors = machine.scale(machine.add(divisors, empty), 1 << FRACTION)
    tops = machine.scale(machine.stack([difference, machine.sum(right), totals[0]]), 1 << FRACTION)
    ratios = machine.divide(tops, machine.stack([divisors[0], divisors[2], divisors[2]]))
    advantage = machine.divide(ratios[:1], divisors[1:2])[0]
    auc = machine.add(advantage, 1 << FRACTION)
    return _rounded(machine, {"auc": (auc, 1), "accuracy": (ratios[1], 0), "base_rate": (ratios[2], 0)})


def _rounded(machine: Machine, exact: dict[str, tuple[Shared, int]]) -> dict[str, Shared]:
    """Fixed point, divided by 2**extra, to the nearest unit of 2**-METRIC_BITS."""
    lows = {name: FRACTION + extra - METRIC_BITS[name] for name, (_, extra) in exact.items()}
    lifted = [machine.add(value, 1 << (lows[name] - 1)) for name, (value, _) in exact.items()]
    # By bits, not by truncation: that may be one unit off, which is much where the unit is 1/1024.
    words = machine.to_bits(machine.stack(lifted))
    places = [(name, words[i], place) for i, name in enumerate(exact) for place in range(METRIC_BITS[name] + 1)]
    bits = machine.inject(machine.stack([machine.bit(word, lows[name] + place) for name, word, place in places]))
    weighted = machine.scale(bits, np.array([1 << place for _, _, place in places], dtype=np.int64))
    return {
        name: machine.sum(weighted[np.array([i for i, (other, _, _) in enumerate(places) if other == name])])
        for name in exact
    }


def before_ties(machine: Machine, sorted_keys: Shared, counts: Shared) -> Shared:
    """For every row the counts of the first row with the same key: what lies strictly below.

    sorted_keys: (rows,).  counts: (rows, k).  Cost: one equality test, then log2(rows) multiplications of k + 1 a row.
    """
    rows = len(sorted_keys)
    if rows < 2:
        return counts
    same = machine.inject(machine.equal(sorted_keys[1:], sorted_keys[:-1]))
    follows = machine.concat([machine.constant(np.zeros(1, dtype=np.int64)), same])
    # After the step of distance s, `counts` is the first row's of those ties that begin less than s rows above.
    distance = 1
    while distance < rows:
        behind = machine.subtract(counts[:-distance], counts[distance:])
        link = follows[distance:].reshape(-1, 1)
        both = machine.concat([behind, follows[:-distance].reshape(-1, 1)], axis=1)
        moved = machine.multiply(both, link.broadcast_to(both.shape))
        counts = machine.concat([counts[:distance], machine.add(counts[distance:], moved[:, :-1])])
        follows = machine.concat([follows[:distance], moved[:, -1]])
        distance *= 2
    return counts


def smallest(machine: Machine, values: Shared) -> Shared:
    """The least of some integers, shape (); one comparison and one selection a halving."""
    while len(values) > 1:
        half = len(values) // 2
        first, second = values[:half], values[half : 2 * half]
        least = machine.select(machine.less_than(first, second), first, second)
        values = machine.concat([least, values[2 * half :]])
    return values[0]
