"""Every section of `make bench-psi` at small sizes: it measures, prints its rows, and checks the results on the way."""

from __future__ import annotations

import pytest

from benchmarks import psi

DIVIDED = ["--divide", "10000", "--repeat", "1"]


@pytest.mark.parametrize(
    ("section", "words", "rows", "told"),
    [
        ("table", ["ECDH 1e5"], ["ECDH 1e5"], "half of the keys"),
        ("shares", ["3 parties"], ["shares 2^20, 3 parties"], "two payload columns"),
        ("lookup", [], ["lookup 1e6 x 256 B", "unbalanced 1e3 x 1e6", "hint MB"], "50 ms a query on line is"),
        ("growth", ["growth 1e7"], ["growth 1e7"], "1e8 rows were not run.  By arithmetic: 191 parts"),
        ("shaped", ["shaped 1e3"], ["shaped 1e3"], "The planner's choice is"),
    ],
)
def test_a_section_measures_its_rows(
    section: str, words: list[str], rows: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--words", *words] if words else []
    psi.main([*DIVIDED, "--sections", section, *chosen])
    printed = capsys.readouterr().out
    assert "a trial of the command, no figures to keep" in printed
    assert [row for row in rows if f"| {row} |" not in printed] == []
    assert told in printed


def test_words_of_one_section_leave_the_others_out(capsys: pytest.CaptureFixture[str]) -> None:
    psi.main([*DIVIDED, "--words", "nothing is called so"])
    assert "| row |" not in capsys.readouterr().out
