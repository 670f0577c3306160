"""Tracing: a call's arguments as leaves, a function as a Program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share.api import Machine
from lingqu.share.arrays.array import SharedArray
from lingqu.share.arrays.dtypes import DType
from lingqu.share.graphs.interpret import public, run
from lingqu.share.graphs.lower import Program, lowered
from lingqu.share.graphs.rules import Context, Value

FORMATS = {"bool": np.bool_, "integral": np.int64, "real floating": np.float64}


@dataclass(frozen=True)
class Trace:
    """A function traced for some arguments.  tree: of its result."""

    program: Program
    tree: Any

    def run(self, machine: Machine | None, real: DType, values: Sequence[Any]) -> list[Value]:
        """The leaves of the result."""
        given: list[Value] = [one if isinstance(one, SharedArray) else public(one) for one in values]
        if machine is None:
            plan = self.program.plan((False,) * len(given), ())
            return [public(one) for one in plan.outcome(given)]
        return run(Context(machine, real), self.program, given)


@dataclass(frozen=True)
class Call:
    """A call's arguments: which are static, and the leaves of the others."""

    function: Callable[..., Any]
    leaves: list[Any]
    tree: Any
    fixed: tuple[tuple[Any, Any], ...]
    count: int

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        named: Mapping[str, Any],
        static: set[int],
        names: Sequence[str],
    ) -> Call:
        """Take a call apart; BadInput for leaves that are no arrays and for static arguments without a hash."""
        fixed: list[tuple[Any, Any]] = [(i, one) for i, one in enumerate(arguments) if i in static]
        fixed += [(name, one) for name, one in named.items() if name in names]
        for place, one in fixed:
            try:
                hash(one)
            except TypeError:
                raise BadInput(f"The static argument {place!r} has no hash.", "Give a tuple for a list.") from None
        loose = [one for i, one in enumerate(arguments) if i not in static]
        rest = {name: one for name, one in named.items() if name not in names}
        leaves, tree = jax.tree.flatten((loose, rest))
        for leaf in leaves:
            if not isinstance(leaf, SharedArray | np.ndarray | np.generic | bool | int | float | jax.Array):
                raise BadInput(f"A {type(leaf).__name__} is no array.", "Name it in static_argnums or static_argnames.")
        return cls(function, leaves, tree, tuple(fixed), len(arguments))

    def key(self, values: Sequence[Any]) -> Any:
        """What a trace depends on."""
        types = tuple((one.shape, str(one.dtype), one.weak_type) for one in map(shaped, values))
        return self.tree, self.fixed, self.count, types

    def traced(self, values: Sequence[Any]) -> Trace:
        """Trace the function for values of these shapes; BadInput where it looks at a value."""

        def flat(*leaves: Any) -> Any:
            loose, rest = jax.tree.unflatten(self.tree, leaves)
            held = dict(self.fixed)
            arguments = [held[i] if i in held else loose.pop(0) for i in range(self.count)]
            return self.function(*arguments, **rest, **{k: v for k, v in self.fixed if isinstance(k, str)})

        try:
            closed, shapes = jax.make_jaxpr(flat, return_shape=True)(*map(shaped, values))
        except jax.errors.JAXTypeError as error:
            raise BadInput(
                f"The function looks at a value while it is traced: {str(error).splitlines()[0]}",
                "Use jnp.where and jax.lax in place of Python's branches, or name public arguments as static.",
            ) from error
        return Trace(lowered(closed), jax.tree.structure(shapes))

    def rebuilt(self, tree: Any, leaves: Sequence[Any]) -> Any:
        """The result as the function returns it."""
        return jax.tree.unflatten(tree, leaves)


def shaped(value: Any) -> Any:
    """The shape and type that JAX gives a value; Python's numbers keep theirs weak."""
    if isinstance(value, SharedArray):
        kind = jax.dtypes.canonicalize_dtype(FORMATS[value.dtype.kind])
        return jax.ShapeDtypeStruct(value.shape, kind, weak_type=False)
    weak = isinstance(value, bool | int | float) and not isinstance(value, np.generic)
    array = np.asarray(value)
    return jax.ShapeDtypeStruct(np.shape(value), jax.dtypes.canonicalize_dtype(array.dtype), weak_type=weak)
