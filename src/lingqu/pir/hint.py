"""What a client keeps of a table between sessions: the hint of one version, kept up to date by patches."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.pir.layout import HALVES
from lingqu.pir.patches import decode_patches, hint_words
from lingqu.pir.terms import ABOUT, About, Follows

_FILE = "hint-{half}.npy"
_ABOUT_FILE = "about.json"


@dataclass
class Hint:
    """about: the version.  words: for each half the table times the public matrix, with its upper 16 bits only."""

    about: About
    words: list[NDArray[np.uint32]]

    def __repr__(self) -> str:
        return f"Hint(version {self.about.version})"

    def follow(self, about: About, patches: bytes) -> None:
        """Go to the version of `about` by the patches from this one; BadInput when they do not lead there."""
        layout, mark, version = self.about.layout, self.about.mark, self.about.version
        for patch in decode_patches(patches, layout):
            patch.apply(self.words, self.about.seed, layout, mark)
            mark, version = patch.mark, version + 1
        if (mark, version) != (about.mark, about.version):
            raise BadInput("The patches lead to another version.", "Fetch the hint again.")
        self.about = replace(about, follows=Follows.NOTHING, size=0)

    def save(self, folder: Path) -> None:
        """Write it to a folder.  It holds nothing secret, neither of the client nor of the table."""
        folder.mkdir(parents=True, exist_ok=True)
        for half, words in enumerate(self.words):
            np.save(folder / _FILE.format(half=half), words, allow_pickle=False)
        (folder / _ABOUT_FILE).write_text(json.dumps({"about": self.about.encoded().hex()}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Hint:
        """Read what `save` wrote; BadInput when it is not that."""
        try:
            encoded = bytes.fromhex(json.loads((folder / _ABOUT_FILE).read_text(encoding="utf-8"))["about"])
            about = About.decoded(encoded, folder.name) if len(encoded) == ABOUT else None
            words = [np.load(folder / _FILE.format(half=half), allow_pickle=False) for half in range(HALVES)]
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{folder} holds no hint: {error}.", "Fetch the hint again.") from None
        if about is None or any(w.dtype != np.uint32 or w.shape != (hint_words(about.layout),) for w in words):
            raise BadInput(f"{folder} holds a damaged hint.", "Fetch the hint again.")
        return cls(about, words)
