"""What a recipient holds once its last word is said: enough to compare alone, of a size that public sizes decide.

Comparing takes longer the more match.  A peer may not know how many do, so nothing that it can see may wait for it:
a protocol exchanges all its messages and gives this, which is kept, and is compared when nobody waits any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.errors import BadInput
from lingqu.psi.elements import Elements
from lingqu.psi.parts import Parts
from lingqu.psi.spill import durably, private_file

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Intersection:
    """What a party learns.  size: how many elements both have.  elements: which of its own, where it may know.

    Both are None at a party that is no recipient.
    """

    size: int | None
    elements: NDArray[np.int64] | None

    def __repr__(self) -> str:
        return f"Intersection(size={self.size})"


@dataclass(frozen=True)
class Heard:
    """of: which of the own elements each own tag is of; one may have several, or none.

    width: bytes of a tag.  mine: the own tags, one after the other.  theirs: the peer's, in the order of `sorted_tags`.
    width 0: what both have is known, since the peer knows it too; mine: a byte an entry of `of`, 1 where both have it.
    """

    of: NDArray[np.uint32]
    width: int
    mine: Bytes
    theirs: Bytes

    def __repr__(self) -> str:
        return f"Heard({len(self.of)} tags of {self.width} bytes)"

    @classmethod
    def marked(cls, of: NDArray[np.uint32], marks: NDArray[np.bool_]) -> Heard:
        """Of a protocol that has told both sides what they have.  marks: an entry each of `of`."""
        return cls(of, 0, marks.view(np.uint8), np.zeros(0, np.uint8))

    def compare(self) -> NDArray[np.int64]:
        """The own elements that the peer has too, in order.  Work: of the sizes, and of how many match."""
        if self.width:
            meeting = _core.TagMeeting(self.mine, self.width)
            meeting.meet(self.theirs)
            both = meeting.found()
        else:
            both = self.mine.view(np.bool_)
        found = np.zeros(int(self.of.max(initial=0)) + 1, bool)
        found[self.of[both]] = True
        return np.flatnonzero(found)

    def write(self, file: IO[bytes]) -> None:
        """To a file.  Bytes: as the sizes of both sets say, whatever matches."""
        for array in (self.of, np.array([self.width], np.int64), self.mine, self.theirs):
            np.lib.format.write_array(file, array, allow_pickle=False)

    @classmethod
    def read(cls, file: IO[bytes]) -> Heard:
        """What `write` wrote."""
        of, width, mine, theirs = (_array(file) for _ in range(4))
        return cls(of, int(width[0]), mine, theirs)


def _array(file: IO[bytes]) -> NDArray[Any]:
    return np.lib.format.read_array(file, allow_pickle=False)


@dataclass(frozen=True)
class HeardPart:
    """What a recipient holds of one part of a large table.

    element_of: of every row of this party's in the part, which element.  place: its row in the table.
    """

    heard: Heard
    element_of: NDArray[np.uint32]
    place: NDArray[np.int64]

    def rows(self, size: int) -> NDArray[np.int64]:
        """The table's rows that are in the result.  size: elements that the part was filled to."""
        found = np.zeros(size, bool)
        found[self.heard.compare()] = True
        return self.place[found[self.element_of]]

    @classmethod
    def read(cls, path: Path, part: int, parts: Parts) -> HeardPart:
        """What `keep` wrote at a recipient; BadInput when that part is not done."""
        try:
            with open(path, "rb") as file:
                return cls(Heard.read(file), _array(file), _array(file))
        except FileNotFoundError:
            raise BadInput(f"Part {part} of {parts.count} is not done.", "Run the missing parts.") from None


def keep(path: Path, heard: Heard | None, own: Elements, place: NDArray[np.int64]) -> None:
    """Write all that a part's rows follow from, for good when this returns; an empty file where nothing is learnt.

    own: this party's elements of the part, before it was filled.  place: as in `HeardPart`.
    """

    def write(new: Path) -> None:
        with private_file(new) as file:
            if heard is not None:
                heard.write(file)
                for array in (own.element_of.astype(np.uint32), place):
                    np.lib.format.write_array(file, array, allow_pickle=False)

    durably(path, write)
