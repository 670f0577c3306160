"""Functions of arrays as trials and parties run them: handles in, shared arrays inside, opened values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from lingqu.share.arrays.array import SharedArray

MARK = "takes_arrays"


def on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function at the top level of a module as one of arrays, so that a trial gives it shared arrays.

    `lingqu.local().run(function, x, y)` then calls `function(x, y)` with SharedArrays (no machine) and opens the
    arrays that it returns to all parties.  Elsewhere the function is as it was.
    """

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    setattr(called, MARK, True)
    return called


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
