"""SQL over several owners' tables: compiled to plans, run on shares."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset
from lingqu.plan.frontend import Frontend, OnShares, OperatorFn
from lingqu.plan.plan import Plan, Setting
from lingqu.sql.lower import Lowering
from lingqu.sql.operators import OPERATORS
from lingqu.sql.query import read


@dataclass(frozen=True)
class SqlFrontend(OnShares):
    """The frontend of programs of kind "sql"."""

    @property
    def operators(self) -> Mapping[str, OperatorFn]:
        """What runs the steps "join", "derive", "group", "having" and "seal"."""
        return OPERATORS

    def compile(self, program: Program, assets: Mapping[str, Asset], setting: Setting) -> Plan:
        """The plan of a SELECT over assets by id.

        BadInput for what is not understood or not supported, with line, column and caret; Refused (term
        "minimum_group") for what would release rows; Refused (term "techniques") when no mechanism fits; RangeError
        for values that do not fit by their published bounds.  Deterministic: equal inputs give equal plans.
        """
        spelt = program.model_copy(update={"text": unicodedata.normalize("NFC", program.text)})  # as the tables are
        query, text = read(spelt, assets)
        return Lowering(query, program, setting, text).plan(assets)


FRONTEND: Frontend = SqlFrontend()

__all__ = ["FRONTEND", "SqlFrontend"]
