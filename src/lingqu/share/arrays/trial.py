"""Functions of arrays as trials and parties run them: handles in, shared arrays inside, opened values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from lingqu.share.api import Machine, Shared
from lingqu.share.arrays.array import SharedArray, wrap
from lingqu.share.arrays.dtypes import bool_, float64, int64

MARK = "takes_arrays"
KINDS = {"b": bool_, "i": int64, "u": int64, "f": float64}
"""Data types by NumPy's kinds."""


def on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function at the top level of a module as one of arrays, so that a trial gives it shared arrays.

    `lingqu.local().run(function, x, y)` then calls `function(x, y)` with SharedArrays (no machine) and opens the
    arrays that it returns to all parties.  Elsewhere the function is as it was.
    """

    @wraps(function)
    def marked(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    setattr(marked, MARK, True)
    return marked


def takes_arrays(function: Callable[..., Any]) -> bool:
    """Whether a function is marked as one of arrays."""
    return bool(getattr(function, MARK, False))


def called(function: Callable[..., Any], machine: Machine, handles: Sequence[Shared], kinds: Sequence[str]) -> Any:
    """Call a function of arrays on a machine's handles and open what it returns.

    kinds: NumPy's letters of the values that were shared.  Cost: the function's, and a reveal an array of the result.
    Discloses: every array of the result, to all parties.
    """
    given = [wrap(machine, one, KINDS[kind]) for one, kind in zip(handles, kinds, strict=True)]
    return opened(function(*given))


def opened(result: Any) -> Any:
    """What a function of arrays returned, its shares opened to all; nested results become one tuple of their leaves.

    Cost: a reveal an array.  Discloses: every array of the result.
    """
    if isinstance(result, Mapping) and not any(isinstance(one, Mapping | tuple | list) for one in result.values()):
        return {name: opened(one) for name, one in result.items()}
    if isinstance(result, Mapping | tuple | list):
        return tuple(leaf.reveal() if isinstance(leaf, SharedArray) else leaf for leaf in _leaves(result))
    return result.reveal() if isinstance(result, SharedArray) else result


def _leaves(result: Any) -> list[Any]:
    if isinstance(result, Mapping):
        return [leaf for name in sorted(result) for leaf in _leaves(result[name])]
    if isinstance(result, tuple | list):
        return [leaf for one in result for leaf in _leaves(one)]
    return [] if result is None else [result]
