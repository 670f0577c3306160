"""The table of accuracy: measured with few points, and what the page says of each function."""

from __future__ import annotations

from pathlib import Path

from benchmarks.accuracy import END, FUNCTIONS, START, fixed, measure, table

PAGE = Path(__file__).parents[2] / "docs" / "rooms" / "share.md"


def test_every_real_function_is_as_accurate_as_it_says() -> None:
    rows = measure(FUNCTIONS, 300)
    assert [(function.name, worst) for function, _, worst, _ in rows if not worst <= 1] == []
    assert all(count >= 300 for _, count, _, _ in rows)


def test_the_page_has_every_function() -> None:
    found = PAGE.read_text("utf-8").split(START)[1].split(END)[0]
    rows = found.splitlines()
    assert rows[:2] == table([]).splitlines()
    assert [row.startswith(fixed(function)) for row, function in zip(rows[2:], FUNCTIONS, strict=True)] == [True] * len(
        FUNCTIONS
    )
    assert all(float(row.split("|")[5]) <= 1 for row in rows[2:])
