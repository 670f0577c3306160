"""Declared ranges of arrays: what a function's results can be, found before anything is shared."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, RangeError
from lingqu.share.api import Shape, Shared
from lingqu.share.arrays.array import SharedArray, wrap
from lingqu.share.arrays.dtypes import DType, bool_, dtype_of, encoded, float64, public_values
from lingqu.share.ranges import Ranges

LIBRARY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Range:
    """What the entries of an array may be, without their values: everybody may know it.

    shape: of the array.  dtype: its type.  low, high: numbers, or arrays that broadcast to the shape; both ends count.
    BadInput where low is above high, or one of them is no finite number.
    """

    shape: Shape
    dtype: DType
    low: Any
    high: Any

    def __post_init__(self) -> None:
        low, high = np.asarray(self.low), np.asarray(self.high)
        try:
            fits = np.broadcast_shapes(low.shape, high.shape, self.shape) == tuple(self.shape)
        except ValueError:
            fits = False
        finite = all(end.dtype.kind in "biuf" and bool(np.all(np.isfinite(end))) for end in (low, high))
        if not (fits and finite and bool(np.all(low <= high))):
            raise BadInput(
                f"A range of shape {tuple(self.shape)} needs finite low and high, low nowhere above high.",
                "Give numbers, or arrays of that shape.",
            )

    @classmethod
    def of(cls, values: Any) -> Range:
        """The range that values of one's own have: one least and one greatest number.  Whoever tells it tells both."""
        array = np.asarray(values)
        low, high = (array.min().item(), array.max().item()) if array.size else (0, 0)
        return cls(array.shape, dtype_of(array), low, high)

    def require(self, values: Any, whose: str = "An array") -> None:
        """RangeError where values, of the range's shape, are outside it, BadInput for another shape; names no value."""
        array = np.asarray(values)
        if array.shape != tuple(self.shape):
            raise BadInput(f"{whose} has shape {array.shape}, not {tuple(self.shape)}.", "Declare the range anew.")
        if dtype_of(array).kind != self.dtype.kind:
            raise BadInput(f"{whose} is of {array.dtype}, its range of {self.dtype}.", "Declare the range anew.")
        if not bool(np.all((array >= np.asarray(self.low)) & (array <= np.asarray(self.high)))):
            raise RangeError(
                f"{whose} has entries outside its declared range.", "Declare what it really holds, or clip it."
            )

    def on(self, machine: Ranges) -> SharedArray:
        """The range as a shared array of a machine of ranges."""
        low, high = (encoded(public_values(end, self.dtype), self.dtype) for end in (self.low, self.high))
        ends = [np.broadcast_to(end, self.shape) for end in (low, high)]
        return wrap(machine, machine.between(*ends), self.dtype)


def range_of(machine: Ranges, x: Any) -> Any:
    """The range of an array of a machine of ranges; public arrays and numbers as they are."""
    if not isinstance(x, SharedArray) or x.public:
        return x
    if x.dtype == bool_:
        return Range(x.shape, bool_, *(part.astype(np.bool_) for part in x.flags.parts))
    unit = float(1 << x.dtype.fraction_bits)
    return Range(x.shape, x.dtype, *(end / unit if x.dtype.real else end for end in machine.ends(x.handle)))


def check(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a function of arrays returns, with a Range in place of every array of shares.

    arguments, named: a Range for each array that will be shared; NumPy arrays and numbers are public, as in the call.
    RangeError where a step could leave what the protocols hold for some values in the ranges, or a function's domain:
    it names the operation and the line of the function.  No RangeError: no values in these ranges overflow, by any
    protocol.  Bounds are those of intervals, so a refusal may be of what cannot happen; clip such values, or declare
    narrower ranges.  Cost: some NumPy arrays; nothing is shared.
    """
    return checked(function, arguments, named, replaced)


def checked(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    named: Mapping[str, Any],
    mapped: Callable[[Callable[[Any], Any], Any], Any],
) -> Any:
    """As check; mapped: changes the leaves of nested arguments and results, as `jax.tree.map`."""
    machine = Ranges()
    given, others = mapped(
        lambda one: one.on(machine) if isinstance(one, Range) else one, (tuple(arguments), dict(named))
    )
    return mapped(lambda one: range_of(machine, one), run_checked(lambda: function(*given, **others)))


def check_run(
    function: Callable[..., Any], ranges: Sequence[Range], of_arrays: bool, parties: int, values: Sequence[NDArray[Any]]
) -> None:
    """RangeError where a trial's values are outside their declared ranges, or its function may overflow on these.

    of_arrays: whether the function takes arrays, otherwise it takes a machine and handles.
    """
    if len(ranges) != len(values):
        raise BadInput(f"{len(values)} arrays do not have {len(ranges)} ranges.", "Declare one for each.")
    for place, (one, own) in enumerate(zip(ranges, values, strict=True)):
        one.require(own, f"Array {place}")
        if one.dtype.real and one.dtype != float64:
            raise BadInput("A trial shares reals with 20 fractional bits.", "Declare the type float64.")
    machine = Ranges(parties)
    given = [one.on(machine) for one in ranges]
    if of_arrays:
        run_checked(lambda: function(*given))
        return
    handles: list[Shared] = [machine.inject(one.flags) if one.dtype == bool_ else one.handle for one in given]
    run_checked(lambda: function(machine, *handles))


def replaced(change: Callable[[Any], Any], nested: Any) -> Any:
    """Nested dictionaries, lists and tuples with their leaves changed."""
    if isinstance(nested, dict):
        return {name: replaced(change, one) for name, one in nested.items()}
    if isinstance(nested, tuple | list):
        leaves = [replaced(change, one) for one in nested]
        return leaves if isinstance(nested, list) else tuple(leaves)
    return change(nested)


def run_checked(run: Callable[[], Any]) -> Any:
    """What a run on ranges returns; its RangeError names the operation and the line of the function."""
    try:
        return run()
    except RangeError as error:
        where = "; ".join(getattr(error, "__notes__", [])) or _place(error.__traceback__)
        raise RangeError(f"{error.cause[:-1]}, {where}." if where else error.cause, error.cure) from error


def _place(trace: TracebackType | None) -> str:
    """The user's innermost line, and the operation of the standard that it called."""
    frames = traceback.extract_tb(trace)
    users = [i for i, frame in enumerate(frames) if not _of_library(frame.filename)]
    if not users:
        return ""
    frame = frames[users[-1]]
    from lingqu.share.arrays import namespace

    named = (inner.name for inner in frames[users[-1] + 1 :] if inner.name in namespace.__all__)
    operation = next(named, None)
    return f"{f'in {operation} ' if operation else ''}at {Path(frame.filename).name}:{frame.lineno}"


def _of_library(name: str) -> bool:
    return "site-packages" in name or name.startswith("<") or LIBRARY in Path(name).parents
