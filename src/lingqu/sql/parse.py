"""SQL text to a checked syntax tree, and errors that show the place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from lingqu.kinds.errors import BadInput, LingquError, Refused

MAX_NODES = 5_000
"""A longer query is refused before anything else looks at it."""

_CLAUSES = {
    "with_": ("WITH is not supported.", "Write one SELECT over the tables themselves."),
    "distinct": ("SELECT DISTINCT is not supported.", "Use GROUP BY with COUNT(*)."),
    "offset": ("OFFSET is not supported.", "Use LIMIT, or drop rows after the release."),
    "windows": ("Window functions are not supported.", "Use GROUP BY with aggregates."),
    "qualify": ("QUALIFY is not supported.", "Use HAVING on aggregates."),
    "laterals": ("LATERAL is not supported.", "Join tables with JOIN ... ON a.k = b.k."),
    "pivots": ("PIVOT is not supported.", "Use GROUP BY with SUM(CASE WHEN ... THEN 1 ELSE 0 END)."),
    "sample": ("Sampling is not supported.", "Aggregate over all rows, or restrict them with WHERE."),
    "into": ("SELECT INTO is not supported.", "Fetch the result and store it yourself."),
}
_ALLOWED = {"expressions", "from_", "joins", "where", "group", "having", "order", "limit", "kind", "locks"}
_PARTS: dict[type[exp.Expr], set[str]] = {
    exp.Table: {"this", "db", "catalog", "alias"},
    exp.TableAlias: {"this"},
    exp.Join: {"this", "on", "kind", "side", "method", "using"},
    exp.Limit: {"this", "expression"},
    exp.Ordered: {"this", "desc", "nulls_first"},
    exp.Column: {"this", "table", "db"},
    exp.Between: {"this", "low", "high"},
    exp.In: {"this", "expressions", "query"},
    exp.Case: {"this", "ifs", "default"},
    exp.If: {"this", "true", "false"},
    exp.Sum: {"this"},
    exp.Avg: {"this"},
    exp.Min: {"this"},
    exp.Max: {"this"},
    exp.Count: {"this", "expressions", "big_int"},
    exp.Variance: {"this"},
    exp.VariancePop: {"this"},
    exp.Stddev: {"this"},
    exp.StddevSamp: {"this"},
    exp.StddevPop: {"this"},
    exp.Median: {"this"},
    exp.Quantile: {"this", "quantile"},
    exp.PercentileCont: {"this", "expression"},
    exp.PercentileDisc: {"this", "expression"},
    exp.WithinGroup: {"this", "expression"},
    exp.Distinct: {"expressions"},
}
for _kind in (
    exp.EQ,
    exp.NEQ,
    exp.LT,
    exp.LTE,
    exp.GT,
    exp.GTE,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.IntDiv,
    exp.Mod,
    exp.BitwiseAnd,
    exp.BitwiseOr,
    exp.BitwiseXor,
    exp.BitwiseLeftShift,
    exp.BitwiseRightShift,
    exp.Is,
):
    _PARTS[_kind] = {"this", "expression"}
"""What may be said of a part; anything else would be dropped without a word, so it is an error."""


class Text:
    """A query's text, which knows where its parts stand."""

    def __init__(self, text: str) -> None:
        self.text = text

    def error(
        self,
        node: exp.Expr | int,
        cause: str,
        cure: str,
        kind: type[LingquError] = BadInput,
        term: str | None = None,
    ) -> LingquError:
        """An error of that kind whose cause ends with line, column and a caret under the place.

        node: part of the tree, or an offset into the text.
        """
        offset = node if isinstance(node, int) else self.offset(node)
        before = self.text[:offset]
        line = before.count("\n") + 1
        column = offset - (before.rfind("\n") + 1) + 1
        shown = (self.text.splitlines() or [""])[line - 1]
        pointer = "".join("\t" if c == "\t" else "\u3000" if _wide(c) else " " for c in shown[: column - 1]) + "^"
        return kind(f"{cause} (line {line}, column {column})\n{shown}\n{pointer}\n", cure, term=term)

    def offset(self, node: exp.Expr) -> int:
        """Where a part of the tree starts: its first token that the parser remembers."""
        starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
        if starts:
            return int(min(starts))
        words: dict[type[exp.Expr], str] = {exp.Star: r"\*", exp.Group: r"\bgroup\b"}
        word = words.get(type(node))
        found = None if word is None else re.search(word, self.text, re.IGNORECASE)
        if found is not None:
            return found.start()
        return self.offset(node.parent) if isinstance(node.parent, exp.Expr) else 0


def _wide(character: str) -> bool:
    """Whether a terminal shows the character two columns wide."""
    return "\u2e80" <= character <= "\uffef"


def parse(text: str) -> tuple[exp.Select, Text]:
    """One SELECT in DuckDB's dialect, with only clauses that are supported.

    BadInput shows line, column and caret; Refused (term "minimum_group") for SELECT *.
    """
    place = Text(text)
    try:
        trees = sqlglot.parse(text, dialect="duckdb")
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        offset = _offset(text, int(first.get("line") or 1), int(first.get("col") or 1), first.get("highlight") or "")
        raise place.error(
            offset, f"This is no SQL that can be read: {_described(first)}.", "Correct it here."
        ) from None
    except TokenError:
        raise BadInput("This is no SQL that can be read: a quote or comment is not closed.", "Close it.") from None
    except RecursionError:
        raise BadInput("The query is nested too deeply.", "Write a simpler one.") from None
    if len(trees) != 1 or trees[0] is None:
        raise BadInput(f"A program is one SELECT; here are {len(trees)} statements.", "Write exactly one SELECT.")
    tree = trees[0]
    if sum(1 for _ in tree.walk()) > MAX_NODES:
        raise BadInput(f"The query has more than {MAX_NODES} parts.", "Write a simpler one.")
    if isinstance(tree, exp.SetOperation):
        raise place.error(tree, "UNION, INTERSECT and EXCEPT are not supported.", "Ask the parts as separate queries.")
    if not isinstance(tree, exp.Select):
        raise place.error(
            tree, f"{type(tree).__name__.upper()} is not supported.", "Only SELECT runs; data stay as they are."
        )
    _clauses(tree, place)
    return tree, place


def _described(error: Mapping[str, Any]) -> str:
    """A parser's words without its inner names."""
    return re.sub(r" for <class.*", "", str(error.get("description", "syntax error"))).rstrip(".")


def _offset(text: str, line: int, column: int, highlight: str) -> int:
    """The offset of a parser's line and column; its column counts the end of the token."""
    starts = [0, *(index + 1 for index, character in enumerate(text) if character == "\n")]
    end = starts[min(line, len(starts)) - 1] + column
    return max(0, min(end - max(len(highlight), 1), max(len(text) - 1, 0)))


def _clauses(tree: exp.Select, place: Text) -> None:
    for name, value in tree.args.items():
        if not value or name in _ALLOWED:
            continue
        cause, cure = _CLAUSES.get(name, (f"The clause {name.strip('_').upper()} is not supported.", "Leave it out."))
        raise place.error(value if isinstance(value, exp.Expr) else tree, cause, cure)
    if tree.args.get("locks") or tree.args.get("kind"):
        raise place.error(tree, "FOR UPDATE and SELECT AS are not supported.", "Leave them out.")
    for part in tree.walk():
        allowed = _PARTS.get(type(part))
        extra = [key for key, value in part.args.items() if value and allowed is not None and key not in allowed]
        if extra:
            raise place.error(
                part, f"{extra[0].strip('_').upper()} is not supported here.", f"Leave it out of {part.sql('duckdb')}."
            )
    for node in _stars(tree):
        raise place.error(
            node,
            "SELECT * would release rows; only aggregates over groups of at least the minimum size may leave.",
            "Name aggregates, for example SELECT education, COUNT(*) ... GROUP BY education.",
            Refused,
            "minimum_group",
        )
    subquery = next(iter(node for node in tree.find_all(exp.Subquery, exp.Select) if node is not tree), None)
    if subquery is not None:
        raise place.error(subquery, "Subqueries are not supported.", "Join the tables with JOIN ... ON a.k = b.k.")
    window = tree.find(exp.Window)
    if window is not None:
        raise place.error(window, "Window functions are not supported.", "Use GROUP BY with aggregates.")


def _stars(tree: exp.Select) -> Iterator[exp.Expr]:
    """Stars in the select list: `*` and `t.*`, not the one of COUNT(*)."""
    for entry in tree.expressions:
        inner = entry.unalias()
        if isinstance(inner, exp.Star) or (isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)):
            yield inner
