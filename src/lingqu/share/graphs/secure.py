"""`lingqu.secure(function)`: a JAX function that computes on shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from typing import Any, Protocol, cast, overload

from lingqu.kinds.errors import Unavailable
from lingqu.share.api import FRACTION_BITS
from lingqu.share.arrays.array import SharedArray, as_public
from lingqu.share.arrays.dtypes import fixed
from lingqu.share.arrays.elementwise import cast as converted
from lingqu.share.arrays.elementwise import machine_of
from lingqu.share.arrays.ranges import checked
from lingqu.share.arrays.trial import on_arrays

KEPT_TRACES = 64
"""Traces of one function that are remembered, the oldest given up first."""


class Secured(Protocol):
    """A JAX function on shares."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The function of shared arrays."""

    def check(self, *arguments: Any, **named: Any) -> Any:
        """What the function returns, with a Range in place of every array of shares, as `share.arrays.check`.

        RangeError names the primitive and the line that calls it.  Cost: some NumPy arrays; nothing is shared.
        """


@overload
def secure(
    function: Callable[..., Any],
    *,
    fraction_bits: int = FRACTION_BITS,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Secured: ...


@overload
def secure(
    function: None = None,
    *,
    fraction_bits: int = FRACTION_BITS,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Callable[[Callable[..., Any]], Secured]: ...


def secure(
    function: Callable[..., Any] | None = None,
    *,
    fraction_bits: int = FRACTION_BITS,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Secured | Callable[[Callable[..., Any]], Secured]:
    """The same function on shares; also a decorator.

    function: of JAX, jitted or not, with any pytrees of arrays; what `jax.grad` and `jax.vmap` return too.
    fraction_bits: of every real on the way and of the result, 8 to 30.
    static_argnums, static_argnames: arguments that are no arrays, as in jax.jit; they stay public, as does whatever is
    no share: what depends on public values alone is compiled and computed by JAX.
    The function is traced once for the shapes and types of its arguments, and each primitive is computed by its rule
    on shares; ranges and errors are those of `lingqu.share.arrays`.  Shared integers have 64 bits even where JAX's
    types have 32.
    Returns a function of SharedArrays (NumPy arrays and numbers are public) that returns SharedArrays; its `check`
    takes declared ranges in their place and finds beforehand what may leave fixed point's range.
    BadInput for a primitive without a rule, by name and before anything is sent; for a loop whose end, or an index
    which, depends on shares; for a Python branch on a value.  Unavailable without JAX.
    Cost: the sum of its primitives'.  Discloses: nothing; shapes and the function are public.
    """
    if function is None:
        return lambda named: secure(
            named, fraction_bits=fraction_bits, static_argnums=static_argnums, static_argnames=static_argnames
        )
    real = fixed(fraction_bits)
    places = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    traces: dict[Any, Any] = {}
    original = function

    @wraps(function)
    def secured(*arguments: Any, **named: Any) -> Any:
        _require_jax()
        from lingqu.share.graphs import trace

        static = {i % len(arguments) for i in places if -len(arguments) <= i < len(arguments)}
        call = trace.Call.of(original, arguments, named, static, names)
        values = [
            converted(one, real) if isinstance(one, SharedArray) and one.dtype.real else one for one in call.leaves
        ]
        values = [one.values if isinstance(one, SharedArray) and one.public else one for one in values]
        key = call.key(values)
        if key not in traces:
            while len(traces) >= KEPT_TRACES:
                del traces[next(iter(traces))]
            traces[key] = call.traced(values)
        machine = machine_of(*(one for one in values if isinstance(one, SharedArray)))
        trace_of = traces[key]
        found = trace_of.run(machine, real, values)
        leaves = [one if isinstance(one, SharedArray) else as_public(one) for one in found]
        return call.rebuilt(trace_of.tree, leaves)

    def check(*arguments: Any, **named: Any) -> Any:
        _require_jax()
        import jax

        return checked(secured, arguments, named, jax.tree.map)

    found = on_arrays(secured)
    setattr(found, "check", check)  # noqa: B010 - functions have no such attribute for mypy
    return cast(Secured, found)


def _require_jax() -> None:
    try:
        import_module("jax")
    except ImportError as error:
        raise Unavailable(f"JAX cannot be imported: {error}.", "Install it: pip install 'lingqu[jax]'.") from None
