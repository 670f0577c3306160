"""A traced function as a flat list of steps: calls inlined, common steps merged, dead ones and public ones set apart.

This module sees jaxprs; what runs sees Programs only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.extend import core

from lingqu.kinds.errors import BadInput

INLINED = {
    "jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call",
    "custom_vjp_call_jaxpr", "custom_lin",
}  # fmt: skip
SAME = {"stop_gradient", "copy", "copy_p", "reduce_precision", "name", "sharding_constraint", "device_put", "real"}
NESTED = {"scan", "while", "cond"}


@dataclass(frozen=True, eq=False)
class Known:
    """A literal or a constant of the trace."""

    value: Any

    @property
    def key(self) -> Any:
        """Equal for equal scalars, and for one and the same array."""
        array = np.asarray(self.value) if np.ndim(self.value) == 0 else None
        return id(self.value) if array is None or array.dtype.kind not in "biuf" else (array.dtype.str, array.tobytes())


Atom = int | Known
"""A slot's number, or a value that is known."""


@dataclass(frozen=True)
class Step:
    """One primitive.  place: where the function calls it, for errors.  bodies: programs that it runs."""

    name: str
    primitive: Any
    params: Mapping[str, Any]
    inputs: tuple[Atom, ...]
    outputs: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    place: str = ""
    bodies: tuple[Program, ...] = ()
    kept: bool = False


@dataclass(frozen=True)
class Program:
    """Steps in order; slots are numbered from the inputs on."""

    inputs: int
    slots: int
    steps: tuple[Step, ...]
    outputs: tuple[Atom, ...]
    plans: dict[tuple[bool, ...], Plan] = field(default_factory=dict, compare=False)

    def plan(self, shared: tuple[bool, ...], rules: Iterable[str]) -> Plan:
        """What is public and what is not, given which inputs are shared; BadInput for a step that no rule covers."""
        if shared not in self.plans:
            self.plans[shared] = planned(self, shared, rules)
        return self.plans[shared]


@dataclass(frozen=True)
class Plan:
    """A program with some inputs shared.

    steps: those that touch shares.  shared: which outputs may be shared.  public: the steps before them, which JAX
    computes; wanted: the slots that those leave for later.
    """

    program: Program
    steps: tuple[Step, ...]
    public: tuple[Step, ...]
    wanted: tuple[int, ...]
    given: tuple[int, ...]
    shared: tuple[bool, ...]

    @cached_property
    def compute(self) -> Any:
        """The public steps as one compiled function of the given inputs."""

        def run(*values: Any) -> list[Any]:
            slots: dict[int, Any] = dict(zip(self.given, values, strict=True))
            for step in self.public:
                found = bound(step, [one.value if isinstance(one, Known) else slots[one] for one in step.inputs])
                slots.update(zip(step.outputs, found, strict=True))
            return [slots[one] for one in self.wanted]

        return jax.jit(run)

    def outcome(self, values: Sequence[Any]) -> list[Any]:
        """The outputs of a program whose inputs are all public."""
        found = self.compute(*(values[one] for one in self.given))
        slots = {**dict(enumerate(values)), **dict(zip(self.wanted, found, strict=True))}
        return [one.value if isinstance(one, Known) else slots[one] for one in self.program.outputs]


def bound(step: Step, values: Sequence[Any]) -> list[Any]:
    """A step on public values, as JAX computes it."""
    params = step.primitive.get_bind_params(step.params)
    found = step.primitive.bind(*values, **params)
    return list(found) if step.primitive.multiple_results else [found]


class _Lowering:
    def __init__(self) -> None:
        self.count = 0
        self.steps: list[Step] = []
        self.seen: dict[Any, tuple[int, ...]] = {}

    def slot(self) -> int:
        self.count += 1
        return self.count - 1

    def inline(self, jaxpr: Any, values: Sequence[Atom]) -> list[Atom]:
        """The steps of a jaxpr whose constants and inputs are given; its outputs."""
        atoms: dict[Any, Atom] = dict(zip([*jaxpr.constvars, *jaxpr.invars], values, strict=True))

        def read(one: Any) -> Atom:
            return Known(one.val) if isinstance(one, core.Literal) else atoms[one]

        for equation in jaxpr.eqns:
            given = tuple(read(one) for one in equation.invars)
            atoms.update(zip(equation.outvars, self.equation(equation, given), strict=True))
        return [read(one) for one in jaxpr.outvars]

    def equation(self, equation: Any, given: tuple[Atom, ...]) -> Sequence[Atom]:
        name, params = equation.primitive.name, equation.params
        if name in INLINED:
            inner = params["call_jaxpr"] if "call_jaxpr" in params else params["jaxpr"]
            if isinstance(inner, core.ClosedJaxpr):
                return self.inline(inner.jaxpr, [*map(Known, inner.consts), *given])
            return self.inline(inner, given)
        if name in SAME:
            return given[:1]
        key = (name, *_hashable(params), *(one.key if isinstance(one, Known) else one for one in given))
        pure = not equation.effects and name not in NESTED
        if pure and _can_hash(key) and key in self.seen:
            return self.seen[key]
        outputs = tuple(self.slot() for _ in equation.outvars)
        if pure and _can_hash(key):
            self.seen[key] = outputs
        shapes = tuple(tuple(one.aval.shape) for one in equation.outvars)
        step = Step(name, equation.primitive, params, given, outputs, shapes, _place(equation), kept=not pure)
        self.steps.append(_with_bodies(step))
        return outputs


def _hashable(params: Mapping[str, Any]) -> list[Any]:
    return [(name, str(value)) for name, value in sorted(params.items())]


def _can_hash(key: Any) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True


def _place(equation: Any) -> str:
    """file:line of the innermost frame that is no library's."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        name = frame.file_name
        if "site-packages" not in name and not name.startswith("<") and "/lingqu/share/" not in name:
            return f"{name.rpartition('/')[2]}:{frame.line_num}"
    return ""


def _with_bodies(step: Step) -> Step:
    if step.name == "scan":
        return _replaced(step, [step.params["jaxpr"]])
    if step.name == "while":
        return _replaced(step, [step.params["cond_jaxpr"], step.params["body_jaxpr"]])
    if step.name == "cond":
        return _replaced(step, step.params["branches"])
    return step


def _replaced(step: Step, closed: Sequence[Any]) -> Step:
    bodies = tuple(lowered(one) for one in closed)
    return Step(
        step.name, step.primitive, step.params, step.inputs, step.outputs, step.shapes, step.place, bodies, False
    )


def lowered(closed: Any) -> Program:
    """A closed jaxpr as a Program, without dead steps."""
    lowering = _Lowering()
    inputs = [lowering.slot() for _ in closed.jaxpr.invars]
    outputs = tuple(lowering.inline(closed.jaxpr, [*map(Known, closed.consts), *inputs]))
    live = {one for one in outputs if isinstance(one, int)}
    kept: list[Step] = []
    for step in reversed(lowering.steps):
        if step.kept or live.intersection(step.outputs):
            kept.append(step)
            live.update(one for one in step.inputs if isinstance(one, int))
    return Program(len(inputs), lowering.count, tuple(reversed(kept)), outputs)


def planned(program: Program, shared: tuple[bool, ...], rules: Iterable[str]) -> Plan:
    """Split a program's steps; BadInput for one on shares that has no rule."""
    known = set(rules)
    tainted = {slot for slot, flag in enumerate(shared) if flag}
    steps, public = [], []
    for step in program.steps:
        flags = tuple(isinstance(one, int) and one in tainted for one in step.inputs)
        if not any(flags):
            public.append(step)
            continue
        if step.name not in known and step.name not in NESTED:
            raise unsupported(step)
        steps.append(step)
        found = _nested(step, flags, rules) if step.bodies else (True,) * len(step.outputs)
        tainted.update(slot for slot, flag in zip(step.outputs, found, strict=True) if flag)
    steps = _compared_once(program, steps)
    made = {slot for step in public for slot in step.outputs}
    read = {one for step in steps for one in step.inputs} | set(program.outputs)
    wanted = tuple(sorted(slot for slot in made if slot in read))
    needed = {one for step in public for one in step.inputs if isinstance(one, int)}
    given = tuple(slot for slot in range(program.inputs) if slot in needed)
    outputs = tuple(isinstance(one, int) and one in tainted for one in program.outputs)
    return Plan(program, tuple(steps), tuple(public), wanted, given, outputs)


SMALLER = {"lt": (0, 1), "gt": (1, 0), "ge": (0, 1), "le": (1, 0), "max": (1, 0), "min": (0, 1)}
"""For each comparison and extreme, which operand is compared to be smaller than which."""


def _compared_once(program: Program, steps: Sequence[Step]) -> list[Step]:
    """Comparisons and extremes of two operands written as lt, not and select_n, so that equal comparisons are one.

    The gradient of max(x, 0) asks again whether 0 < x, which then costs nothing.
    """
    count, seen = program.slots, dict[Any, int]()
    found: list[Step] = []
    for step in steps:
        if step.name not in SMALLER:
            found.append(step)
            continue
        left, right = (step.inputs[i] for i in SMALLER[step.name])
        key = tuple(one.key if isinstance(one, Known) else one for one in (left, right))
        if key not in seen:
            seen[key], count = count, count + 1
            shape = step.shapes[0]
            found.append(Step("lt", None, {}, (left, right), (seen[key],), (shape,), step.place))
        less = seen[key]
        cases = {"max": (left, right), "min": (right, left)}.get(step.name, ())
        name = "select_n" if cases else "not" if step.name in {"ge", "le"} else "copy"
        found.append(Step(name, None, {}, (less, *cases), step.outputs, step.shapes, step.place))
    return found


def _nested(step: Step, flags: tuple[bool, ...], rules: Iterable[str]) -> tuple[bool, ...]:
    """Which outputs of a loop or branch may be shared."""
    if step.name == "cond":
        found = [body.plan(flags[1:], rules).shared for body in step.bodies]
        return tuple(flags[0] or any(one) for one in zip(*found, strict=True))
    if step.name == "scan":
        consts, carried = step.params["num_consts"], step.params["num_carry"]
        carry = flags[consts : consts + carried]
        while True:
            outputs = step.bodies[0].plan((*flags[:consts], *carry, *flags[consts + carried :]), rules).shared
            grown = tuple(a or b for a, b in zip(carry, outputs[:carried], strict=True))
            if grown == carry:
                return (*carry, *outputs[carried:])
            carry = grown
    tested, body = step.params["cond_nconsts"], step.params["body_nconsts"]
    carry = flags[tested + body :]
    while True:
        outputs = step.bodies[1].plan((*flags[tested : tested + body], *carry), rules).shared
        grown = tuple(a or b for a, b in zip(carry, outputs, strict=True))
        if grown == carry:
            break
        carry = grown
    if step.bodies[0].plan((*flags[:tested], *carry), rules).shared[0]:
        raise BadInput(
            f"A while loop{_at(step)} goes on as long as shares say, which would reveal them.",
            "Loop a public number of times: jax.lax.fori_loop or scan with public bounds; keep results by jnp.where.",
        )
    return carry


CURES = {
    "gather": "Index by public places; for a shared index multiply by jax.nn.one_hot(index, n).",
    "sin": "Compute it before sharing, or approximate it by a polynomial.",
    "cos": "Compute it before sharing, or approximate it by a polynomial.",
    "debug_callback": "Return the value, and reveal it.",
    "debug_print": "Return the value, and reveal it.",
    "pure_callback": "Write it in JAX: a callback would need the values.",
    "io_callback": "Write it in JAX: a callback would need the values.",
    "cholesky": "Iterate a public number of times, as gradient descent does.",
    "lu": "Iterate a public number of times, as gradient descent does.",
    "triangular_solve": "Iterate a public number of times, as gradient descent does.",
}


def unsupported(step: Step) -> BadInput:
    """The error of a primitive without a rule."""
    cure = CURES.get(step.name, "Write it with primitives that have a rule (the guide's page on JAX lists them).")
    return BadInput(f"JAX's {step.name}{_at(step)} is not available on shares.", cure)


def _at(step: Step) -> str:
    return f" ({step.place})" if step.place else ""
