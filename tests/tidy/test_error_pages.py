"""The pages "Errors and cures" tell of every error that there is, and quote what is really said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / folder / "errors.md" for folder in ("guide", "guide.zh-CN")]
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src" / "lingqu").rglob("*.py")))
SAID = re.sub(r'"\s*\n\s*f?"', "", SOURCE)  # texts that are broken over lines put together
CHECKED_TERMS = ("plan", "statement")  # those that a loop names
USAGE = "usage"  # what the command line says of itself


def codes() -> set[str]:
    """The codes of all errors that a person can meet."""
    return set(re.findall(r'^    code(?:: ClassVar\[str\])? = "([a-z-]+)"', SOURCE, re.MULTILINE)) | {USAGE}


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh-CN"])
def test_every_code_is_on_the_page_and_no_other(page: Path) -> None:
    told = set(re.findall(r"^\| `([a-z-]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert told == codes()


def terms() -> set[str]:
    """The terms that a refusal can name."""
    given = set(re.findall(r'term="([a-z_-]+)"', SOURCE))
    return given | set(re.findall(r'_refuse\(\s*"([a-z_]+)"', SOURCE)) | set(CHECKED_TERMS)


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh-CN"])
def test_every_term_of_a_refusal_is_on_the_page_and_no_other(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    table = re.split(r"^## .*$", text, flags=re.MULTILINE)[3]
    rows = re.findall(r"^\| ([a-z_, -]+) \|", table, re.MULTILINE)
    told = [term.strip() for row in rows for term in row.split(",")]
    assert sorted(told) == sorted(terms())


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh-CN"])
def test_quoted_errors_are_really_said(page: Path) -> None:
    """Every English phrase of the first column stands in the code, between its variable parts."""
    text = page.read_text(encoding="utf-8")
    tables = text[text.index("| line 5, column hours") :]
    for row in re.findall(r"^\| (.+?) \|", tables, re.MULTILINE):
        if row.startswith(("---", "line 5", "What you see", "现象")):
            continue
        for part in re.split(r"…|, |[()]|[^\x00-\x7f]+|postgresql://", row):
            words = part.strip(" .")
            if len(words) > 5:
                assert words in SAID, words
