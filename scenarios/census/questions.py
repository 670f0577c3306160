"""The two questions of the story, and the same computed on pooled tables, which only a demonstration may do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lingqu.ml.encoding import held_out
from scenarios.census.network import CIVIL, HUMAN

RESIDENTS, EMPLOYMENT = f"{CIVIL}/residents", f"{HUMAN}/employment"
PURPOSE = "Plan adult education: who studies how long and earns what (statistics only)"
MINIMUM_GROUP = 30

SQL = """\
SELECT r.education,
       COUNT(*)                AS people,
       AVG(e.hours_per_week)   AS average_hours,
       AVG(CASE WHEN e.income = '>50K' THEN 1 ELSE 0 END) AS share_high_income
FROM "civil-affairs".residents r
JOIN "human-resources".employment e ON r.person_id = e.person_id
WHERE r.age BETWEEN 25 AND 54
GROUP BY r.education
ORDER BY people DESC"""

NUMBERS = {RESIDENTS: ("age",), EMPLOYMENT: ("hours_per_week", "capital_gain", "capital_loss")}
CATEGORIES = {
    RESIDENTS: ("sex", "race", "marital_status", "relationship", "education"),
    EMPLOYMENT: ("workclass", "occupation"),
}
HOLDOUT, SEED = 0.2, 2026

TRAINING: dict[str, Any] = {
    "estimator": "logistic_regression",
    "tables": [RESIDENTS, EMPLOYMENT],
    "on": [["person_id", "person_id"]],
    "label": {"table": EMPLOYMENT, "column": "income", "positive": ">50K"},
    "features": [
        {"table": table, "column": column}
        for table in (RESIDENTS, EMPLOYMENT)
        for column in (*NUMBERS[table], *CATEGORIES[table])
    ],
    "holdout": HOLDOUT,
    "seed": SEED,
}


@dataclass(frozen=True)
class Pooled:
    """What somebody who held both tables would get."""

    groups: list[tuple[str, int, float, float]]
    auc: float
    auc_of: dict[str, float]


def pooled(residents: Path, employment: Path) -> Pooled:
    """Compute both questions on the pooled tables with DuckDB and scikit-learn.

    Not part of the product: no node can do this, for none holds both tables.
    """
    connection = duckdb.connect()
    connection.execute('CREATE SCHEMA "civil-affairs"; CREATE SCHEMA "human-resources"')
    connection.execute(f"""CREATE VIEW "civil-affairs".residents AS FROM '{residents}'""")
    connection.execute(f"""CREATE VIEW "human-resources".employment AS FROM '{employment}'""")
    groups = connection.execute(SQL).fetchall()
    join = connection.execute(
        'SELECT * FROM "civil-affairs".residents r JOIN "human-resources".employment e USING (person_id)'
    ).fetchnumpy()
    label = join["income"] == ">50K"
    test = np.array([held_out([key], SEED, HOLDOUT) for key in join["person_id"]])
    both = (RESIDENTS, EMPLOYMENT)
    return Pooled(
        groups,
        _auc(join, both, label, test),
        {CIVIL: _auc(join, (RESIDENTS,), label, test), HUMAN: _auc(join, (EMPLOYMENT,), label, test)},
    )


def _auc(join: dict[str, Any], tables: tuple[str, ...], label: Any, test: Any) -> float:
    """Test AUC of scikit-learn's logistic regression on the columns of some tables."""
    numbers = np.column_stack([np.asarray(join[c], float) for table in tables for c in NUMBERS[table]])
    words = np.column_stack([np.asarray(join[c], dtype=str) for table in tables for c in CATEGORIES[table]])
    rows = np.column_stack(
        [
            StandardScaler().fit(numbers[~test]).transform(numbers),
            OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(words[~test]).transform(words),
        ]
    )
    model = make_pipeline(LogisticRegression(max_iter=1000))
    model.fit(rows[~test], label[~test])
    return float(roc_auc_score(label[test], model.predict_proba(rows[test])[:, 1]))
