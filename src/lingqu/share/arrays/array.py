"""SharedArray: a Machine's handle with a data type, the operators of the Python array API standard, and no values."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.share import checks
from lingqu.share.api import Machine, Shape, Shared, SharedBits
from lingqu.share.arrays.dtypes import DType, bool_, dtype_of, encoded, int64, public_values

if TYPE_CHECKING:
    from lingqu.share.arrays.ranges import Range

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")
Operand = Any
"""A SharedArray, a NumPy array or a Python number."""


class SharedArray:
    """An array of shares, or of public values that have not met shares yet.

    Operations follow the array API standard where their shape and their steps depend on no secret value; what would
    reveal one raises BadInput, which says the way out.  Public values stay public and are computed by NumPy.
    """

    __slots__ = ("_dtype", "_machine", "_value")
    __array_ufunc__ = None  # NumPy arrays leave operators to this class

    def __init__(self, machine: Machine | None, value: Shared | SharedBits | NDArray[Any], dtype: DType) -> None:
        self._machine = machine
        self._value = value
        self._dtype = dtype

    def __repr__(self) -> str:
        if isinstance(self._value, np.ndarray):
            return f"SharedArray(public, {self._value!r})"
        return f"SharedArray(shape={self.shape}, dtype={self._dtype})"

    # What is public of every array

    @property
    def dtype(self) -> DType:
        """The data type."""
        return self._dtype

    @property
    def shape(self) -> Shape:
        """The lengths of the axes."""
        return self._value.shape

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self._value.ndim

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self._value.size

    @property
    def device(self) -> str:
        """Always "cpu"."""
        return "cpu"

    def to_device(self, device: str, /, *, stream: None = None) -> SharedArray:
        """Itself; BadInput for another device than "cpu"."""
        if device != "cpu":
            raise BadInput(f"Shares are not held on {device}.", "Leave them on the CPU.")
        return self

    @property
    def machine(self) -> Machine | None:
        """The machine whose shares these are, None where the values are public."""
        return self._machine

    @property
    def public(self) -> bool:
        """Whether every party knows the values."""
        return self._machine is None

    @property
    def values(self) -> NDArray[Any]:
        """Public values; BadInput for shares."""
        if not isinstance(self._value, np.ndarray):
            self._hidden("its values")
        return self._value

    @property
    def handle(self) -> Shared:
        """The shares of integers or fixed point; BadInput for others."""
        if isinstance(self._value, Shared):
            return self._value
        raise BadInput(f"An array of {self._dtype} has no shares of numbers.", "Convert it with astype.")

    @property
    def flags(self) -> SharedBits:
        """The shares of booleans; BadInput for others."""
        if isinstance(self._value, SharedBits):
            return self._value
        raise BadInput(f"An array of {self._dtype} has no shared bits.", "Compare it with something first.")

    def like(self, value: Shared | SharedBits | NDArray[Any], dtype: DType | None = None) -> SharedArray:
        """The same kind of array on other components."""
        return SharedArray(self._machine, value, dtype or self._dtype)

    def moved(self, rearrange: Any) -> SharedArray:
        """Entries rearranged, repeated or left out by a public rule on NumPy arrays.  Cost: none."""
        if isinstance(self._value, np.ndarray):
            return self.like(np.asarray(rearrange(self._value)))
        return self.like(self._value.moved(rearrange))

    def reveal(self, to: int | None = None) -> NDArray[Any] | None:
        """Open the values to one party, or to all (None); None where not received.

        Returns NumPy's bool, int64 or float64.  Cost: that of Machine.reveal.  Discloses: the values.
        """
        machine = self._machine
        if machine is None:
            return self.values
        if isinstance(self._value, SharedBits):
            bits = machine.reveal_bits(self._value, to)
            return None if bits is None else bits.astype(np.bool_)
        found = machine.reveal(self.handle, to)
        if found is None or not self._dtype.real:
            return found
        return found / float(1 << self._dtype.fraction_bits)

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        """The functions of the standard on shared arrays; BadInput for a version that is not known."""
        if api_version not in (None, *VERSIONS):
            raise BadInput(f"There is no version {api_version} of the array API here.", f"Use one of {VERSIONS}.")
        return import_module("lingqu.share.arrays.namespace")

    # What would reveal

    def _hidden(self, what: str) -> NoReturn:
        raise BadInput(
            f"A shared array does not give {what}: that would reveal values.",
            "Compute on shares (where, sums, comparisons), or open what may be known with reveal().",
        )

    def _single(self, what: str) -> Any:
        if not self.public:
            self._hidden(what)
        return self.values.item()

    def __bool__(self) -> bool:
        return bool(self._single("a truth value, so it cannot steer an `if` or a loop"))

    def __int__(self) -> int:
        return int(self._single("a Python number"))

    def __float__(self) -> float:
        return float(self._single("a Python number"))

    def __complex__(self) -> complex:
        return complex(self._single("a Python number"))

    def __index__(self) -> int:
        if self.public and self._dtype != int64:
            raise TypeError(f"An index is an integer, not {self._dtype}.")
        return int(self._single("an index"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Public values as NumPy's; BadInput for shares."""
        if not self.public:
            self._hidden("a NumPy array")
        return np.array(self.values, dtype=dtype, copy=copy)

    def __dlpack__(self, **_: Any) -> NoReturn:
        self._hidden("its memory")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __iter__(self) -> Any:
        if self.ndim == 0:
            raise TypeError("An array without axes cannot be iterated over.")
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("An array without axes has no length.")
        return self.shape[0]

    # Indexing

    def __getitem__(self, key: Any) -> SharedArray:
        """Entries at a public index, as NumPy indexes.  BadInput for an index of shares: it would reveal itself."""
        index = public_index(key)
        return self.moved(lambda p: p[index])

    def __setitem__(self, key: Any, value: Operand) -> None:
        """Replace the entries at a public index.  BadInput for an index of shares."""
        index = public_index(key)
        operand = coerce(value, self)
        if self.public and operand.public:
            changed = self.values.copy()
            changed[index] = operand.astype(self._dtype).values
            self._value = changed
            return
        machine = self._machine or operand._machine
        assert machine is not None
        whole, part = shares(machine, self, self._dtype), shares(machine, operand, self._dtype)
        parts = [np.array(component, np.uint64) for component in whole.parts]
        for component, new in zip(parts, part.parts, strict=True):
            component[index] = new
        self._machine, self._value = machine, whole.like(tuple(parts))

    # Operators

    def _apply(self, name: str, *operands: Operand) -> SharedArray:
        """A function of the standard."""
        if any(isinstance(one, complex | str | list | tuple) or one is None for one in operands):
            raise TypeError(f"{name} takes shared arrays, NumPy arrays and real numbers.")
        found: SharedArray = getattr(self.__array_namespace__(), name)(*operands)
        return found

    def astype(self, dtype: DType) -> SharedArray:
        """Convert: reals to integers towards zero; fewer fractional bits round; to bool whether it is not 0."""
        return self._apply("astype", self, dtype)

    def __neg__(self) -> SharedArray:
        return self._apply("negative", self)

    def __pos__(self) -> SharedArray:
        return self

    def __abs__(self) -> SharedArray:
        return self._apply("abs", self)

    def __invert__(self) -> SharedArray:
        return self._apply("bitwise_invert", self)

    def __add__(self, other: Operand) -> SharedArray:
        return self._apply("add", self, other)

    def __radd__(self, other: Operand) -> SharedArray:
        return self._apply("add", other, self)

    def __sub__(self, other: Operand) -> SharedArray:
        return self._apply("subtract", self, other)

    def __rsub__(self, other: Operand) -> SharedArray:
        return self._apply("subtract", other, self)

    def __mul__(self, other: Operand) -> SharedArray:
        return self._apply("multiply", self, other)

    def __rmul__(self, other: Operand) -> SharedArray:
        return self._apply("multiply", other, self)

    def __truediv__(self, other: Operand) -> SharedArray:
        return self._apply("divide", self, other)

    def __rtruediv__(self, other: Operand) -> SharedArray:
        return self._apply("divide", other, self)

    def __floordiv__(self, other: Operand) -> SharedArray:
        return self._apply("floor_divide", self, other)

    def __rfloordiv__(self, other: Operand) -> SharedArray:
        return self._apply("floor_divide", other, self)

    def __mod__(self, other: Operand) -> SharedArray:
        return self._apply("remainder", self, other)

    def __rmod__(self, other: Operand) -> SharedArray:
        return self._apply("remainder", other, self)

    def __pow__(self, other: Operand) -> SharedArray:
        return self._apply("pow", self, other)

    def __rpow__(self, other: Operand) -> SharedArray:
        return self._apply("pow", other, self)

    def __matmul__(self, other: Operand) -> SharedArray:
        return self._apply("matmul", self, other)

    def __rmatmul__(self, other: Operand) -> SharedArray:
        return self._apply("matmul", other, self)

    def __and__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_and", self, other)

    def __rand__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_and", other, self)

    def __or__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_or", self, other)

    def __ror__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_or", other, self)

    def __xor__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_xor", self, other)

    def __rxor__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_xor", other, self)

    def __lshift__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_left_shift", self, other)

    def __rlshift__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_left_shift", other, self)

    def __rshift__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_right_shift", self, other)

    def __rrshift__(self, other: Operand) -> SharedArray:
        return self._apply("bitwise_right_shift", other, self)

    def __lt__(self, other: Operand) -> SharedArray:
        return self._apply("less", self, other)

    def __le__(self, other: Operand) -> SharedArray:
        return self._apply("less_equal", self, other)

    def __gt__(self, other: Operand) -> SharedArray:
        return self._apply("greater", self, other)

    def __ge__(self, other: Operand) -> SharedArray:
        return self._apply("greater_equal", self, other)

    def __eq__(self, other: Operand) -> SharedArray:  # type: ignore[override]
        return self._apply("equal", self, other)

    def __ne__(self, other: Operand) -> SharedArray:  # type: ignore[override]
        return self._apply("not_equal", self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def T(self) -> SharedArray:  # noqa: N802 - the standard's name
        """The transpose of a matrix; BadInput for other numbers of axes."""
        if self.ndim != 2:
            raise BadInput(f"T is for matrices, not for {self.ndim} axes.", "Use mT or permute_dims.")
        return self.moved(np.transpose)

    @property
    def mT(self) -> SharedArray:  # noqa: N802 - the standard's name
        """The last two axes exchanged."""
        return self._apply("matrix_transpose", self)


def public_index(key: Any) -> Any:
    """An index as NumPy takes it; BadInput where part of it is shared."""
    if isinstance(key, tuple):
        return tuple(public_index(one) for one in key)
    if isinstance(key, SharedArray):
        if not key.public:
            raise BadInput(
                "An array is indexed by public places only: an index of shares, or a shared mask, would reveal itself.",
                "Use where(mask, x, 0), multiply by a mask, or compare with arange and sum.",
            )
        return key.values
    return key


def as_public(values: Any, dtype: DType | None = None) -> SharedArray:
    """Public values as an array; BadInput for what is no number."""
    array = np.asarray(values)
    kind = dtype or dtype_of(array)
    return SharedArray(None, public_values(array, kind), kind)


def coerce(value: Operand, beside: SharedArray) -> SharedArray:
    """An operand as an array; a Python number takes the other's type where the standard says so."""
    if isinstance(value, SharedArray):
        return value
    if isinstance(value, float) and beside.dtype.real:
        return as_public(value, beside.dtype)
    if isinstance(value, np.ndarray | np.generic | bool | int | float) or hasattr(value, "__array__"):
        return as_public(value)
    raise BadInput(f"A {type(value).__name__} is no array of numbers.", "Give shared arrays, NumPy arrays or numbers.")


def shares(machine: Machine, x: SharedArray, dtype: DType) -> Shared | SharedBits:
    """An array's shares in a data type; public values become constants."""
    if dtype == bool_:
        x = x if x.dtype == bool_ else x.astype(bool_)
        return machine.constant_bits(x.values.astype(np.uint64), 1) if x.public else x.flags
    return numbers(machine, x, dtype)


def numbers(machine: Machine, x: SharedArray, dtype: DType) -> Shared:
    """An array's shares as integers or fixed point."""
    if x.public:
        return machine.constant(encoded(x.values, dtype))
    return (x if x.dtype == dtype else x.astype(dtype)).handle


def wrap(machine: Machine, handle: Shared | SharedBits, dtype: DType | None = None) -> SharedArray:
    """A machine's handle as an array.

    dtype: of what the integers mean, by default int64 for Shared and bool for single bits; BadInput where it does not
    fit.  Cost: none.
    """
    if isinstance(handle, SharedBits):
        checks.single(handle)
        if dtype not in (None, bool_):
            raise BadInput(f"Single bits are no {dtype}.", "Wrap them as bool, then convert with astype.")
        return SharedArray(machine, handle, bool_)
    if dtype == bool_:
        return SharedArray(machine, machine.parity(handle), bool_)
    return SharedArray(machine, handle, dtype or int64)


def share(
    machine: Machine,
    owner: int,
    values: Any | None,
    shape: Shape | None = None,
    dtype: DType | None = None,
    declared: Range | None = None,
) -> SharedArray:
    """Share an owner's values.

    values: at the owner, of the agreed shape; None elsewhere.  shape, dtype: as agreed; needed where values are None.
    declared: the agreed range, shape and type in one.
    BadInput without them.  RangeError for reals that do not fit, and at the owner for values outside the declared
    range.  Cost: that of Machine.input.  Discloses: the shape.
    """
    if declared is not None:
        shape, dtype = declared.shape, declared.dtype
        if values is not None and machine.owns(owner):
            declared.require(values, "An array to be shared")
    if values is None and (shape is None or dtype is None):
        raise BadInput("The shape and type of another party's values are not known.", "Agree on shape= and dtype=.")
    array = None if values is None else np.asarray(values)
    agreed = dtype if dtype is not None else dtype_of(np.asarray(array))
    size = shape if shape is not None else np.asarray(values).shape
    own = machine.owns(owner)
    ready = encoded(public_values(checks.owned(array, size), agreed), agreed) if own else None
    if agreed == bool_:
        return SharedArray(machine, machine.input_bits(owner, ready, size, 1), bool_)
    return SharedArray(machine, machine.input(owner, ready, size), agreed)
