"""A model's release and card: what the recipient holds after a training, and how it reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from lingqu.kinds.documents import Document, canonical
from lingqu.kinds.errors import BadInput
from lingqu.kinds.parties import Digest, Instant, PartyName
from lingqu.ml.spec import Class, Encoded, Metric, ModelRelease, TableUse, TrainSpec
from lingqu.ml.steps import EvaluateArguments
from lingqu.plan.inputs import AlignArguments, InputArguments, ScanArguments
from lingqu.plan.plan import Plan

FACTORS = 8
"""Strongest factors that a card names."""

ODDS = (
    "Odds are the number of yes for each no: at 25 yes in 100 they are 1 to 3; raised 2-fold they are 2 to 3, which is "
    "40 in 100. Each line changes one thing while everything else stays."
)


def model_release(
    plan: Plan,
    values: Mapping[str, Sequence[float]],
    *,
    released: Instant,
    contract: Digest | None = None,
    purpose: str | None = None,
) -> ModelRelease:
    """The released numbers of a training plan with everything needed to read and to use them.

    values: the opened values by output name: "intercept" and metrics of length 1, "coefficients" one an encoded column.
    BadInput when the plan trains nothing, or the numbers are withheld or of another number.
    """
    steps = [step for step in plan.steps if step.operator == "evaluate"]
    if not steps:
        raise BadInput("This plan trains no model.", 'Give the plan of a program of kind "train".')
    arguments = EvaluateArguments.of(steps[0].arguments)
    wanted = {"coefficients": len(arguments.encoding), "intercept": 1}
    wanted |= {str(name): 1 for name in arguments.metrics}
    for name, length in wanted.items():
        if len(values.get(name, ())) != length:
            raise BadInput(
                f"The release holds {len(values.get(name, ()))} of {length} numbers for {name!r}.",
                f"Fewer than {plan.minimum_group} people of one kind were matched, so the model was withheld; "
                "train on more people.",
            )
    return ModelRelease(
        spec=TrainSpec.parse(plan.program.text),
        encoding=arguments.encoding,
        classes=arguments.classes,
        coefficients=tuple(float(value) for value in values["coefficients"]),
        intercept=float(values["intercept"][0]),
        metrics={name: float(values[name][0]) for name in arguments.metrics},
        parties=plan.parties,
        recipient=plan.recipient,
        minimum_group=plan.minimum_group,
        mechanism=steps[0].mechanism,
        tables=_tables(plan),
        statement=plan.statement,
        plan=plan.sha256(),
        contract=contract,
        purpose=purpose,
        released=released,
        outside=plan.outside,
        copies_to=plan.copies_to,
    )


def _tables(plan: Plan) -> tuple[TableUse, ...]:
    scans = {step.id: ScanArguments.parse(canonical(step.arguments)) for step in plan.steps if step.operator == "scan"}
    columns = {use.id: use.columns for use in plan.assets}
    tables = []
    for step in plan.steps:
        brought: tuple[InputArguments, ...] = ()
        if step.operator == "input":
            brought = (InputArguments.parse(canonical(step.arguments)),)
        elif step.operator == "align":
            aligned = AlignArguments.parse(canonical(step.arguments))
            brought = (aligned.asker.rows, aligned.keeper.rows)
        for shared, scan in zip(brought, step.inputs, strict=False):
            asset = scans[scan].asset
            tables.append(TableUse(id=asset, owner=shared.owner, rows=shared.rows, columns=columns[asset]))
    return tuple(tables)


class Factor(Document):
    """name: the encoded column.  odds: what the odds are multiplied by, for the change that `words` describes."""

    name: str
    odds: float
    words: str


class ModelCard(Document):
    """A trained model as a person without a technical background reads it.

    data: columns from each table, never values.  performance, limits, visibility, training: sentences.
    factors: the strongest first.
    """

    title: str
    purpose: str
    parties: tuple[str, ...]
    data: tuple[str, ...]
    training: tuple[str, ...]
    visibility: tuple[str, ...]
    performance: tuple[str, ...]
    factors: tuple[Factor, ...]
    limits: tuple[str, ...]
    contract: Digest | None
    plan: Digest
    released: Instant

    def to_markdown(self) -> str:
        """The card in Markdown, English under headings with their Chinese names."""
        lines = [f"# {self.title} 模型卡", ""]
        sections: tuple[tuple[str, Sequence[str]], ...] = (
            ("Purpose 用途", (self.purpose,)),
            ("Parties 参与方", self.parties),
            ("Data 数据来源", self.data),
            ("How it was trained 训练方式", self.training),
            ("Who could see what 谁能看到什么", self.visibility),
            ("How well it works 效果", self.performance),
            ("Strongest factors 主要因素", (ODDS, *(factor.words for factor in self.factors))),
            ("Limits and warnings 局限与警示", self.limits),
            (
                "Records 存证",
                (
                    f"Contract: {_code(self.contract) if self.contract else 'none recorded'}",
                    f"Plan: {_code(self.plan)}",
                    f"Released: {self.released}",
                ),
            ),
        )
        for heading, sentences in sections:
            lines += [f"## {heading}", "", *(f"- {sentence}" for sentence in sentences), ""]
        return "\n".join(lines)


def model_card(release: ModelRelease) -> ModelCard:
    """The card of a released model; everything in it follows from the release."""
    label = release.spec.label
    positive = f"{_code(label.column)} is {_code(label.positive)}"
    return ModelCard(
        title=f"Model card: when {label.column} is {label.positive}",
        purpose=f"{release.purpose or 'No purpose recorded'}. The model estimates the chance that {positive}.",
        parties=_parties(release),
        data=tuple(
            f"{table.owner} gave the table {_code(table.id)} ({table.rows:,} rows), columns "
            f"{', '.join(map(_code, table.columns))}."
            for table in release.tables
        ),
        training=_training(release),
        visibility=_visibility(release),
        performance=_performance(release, positive),
        factors=factors(release),
        limits=_limits(release),
        contract=release.contract,
        plan=release.plan,
        released=release.released,
    )


def factors(release: ModelRelease, most: int = FACTORS) -> tuple[Factor, ...]:
    """The encoded columns that move the model most, the strongest first."""
    changes = [_change(encoded) for encoded in release.encoding]
    effects = [weight * size for weight, (size, _) in zip(release.coefficients, changes, strict=True)]
    order = sorted(range(len(effects)), key=lambda place: (-abs(effects[place]), place))[:most]
    return tuple(_factor(release.encoding[place].name, effects[place], changes[place][1]) for place in order)


def _change(encoded: Encoded) -> tuple[float, str]:
    """A change of a column that people can picture: in units of the encoded column, and in words."""
    name = _code(encoded.column)
    if encoded.kind == "category":
        return 1.0, f"{name} being {_code(encoded.category)}"
    if encoded.kind == "missing":
        return 1.0, f"{name} being unknown"
    if encoded.kind == "flag":
        return 1.0, f"{name} being true"
    if encoded.transform == "log1p":
        return math.log(10) / encoded.scale, f"a tenfold {name}"
    return 1.0, f"{_figure(encoded.scale)} more of {name}"


def _figure(value: float) -> str:
    """Three significant digits as people write them: 7,560 and 0.0012, no powers of ten."""
    return f"{Decimal(f'{value:.3g}'):,f}"


def _factor(name: str, effect: float, change: str) -> Factor:
    odds = math.exp(min(max(effect, -30.0), 30.0))
    verb = "raises" if effect >= 0 else "lowers"
    times = odds if effect >= 0 else 1 / odds
    by = f"{times:.1f}-fold" if times >= 1.05 else "slightly"
    return Factor(name=name, odds=odds, words=f"{change[0].upper()}{change[1:]} {verb} the odds {by}.")


def _parties(release: ModelRelease) -> tuple[str, ...]:
    owners: dict[PartyName, None] = dict.fromkeys(table.owner for table in release.tables)
    lines = []
    for party in (*release.parties, *release.outside):
        roles = ["gave data"] if party in owners else []
        roles += ["received the model"] if party in (release.recipient, *release.copies_to) else []
        roles += ["computed on shares"] if party in release.parties else []
        lines.append(f"{party}: {' and '.join(roles)}.")
    return tuple(lines)


def _training(release: ModelRelease) -> tuple[str, ...]:
    spec = release.spec
    joined = "People in both tables were found under the protocol. " if len(release.tables) > 1 else ""
    lines = [
        f"{joined}Rows without a label or a number that is used were left out; a missing text is an answer of its own.",
        f"Logistic regression with penalty {spec.l2:g}, {spec.iterations} iterations, on secret shares "
        f"({release.mechanism}): every number was split into random parts, and no party held enough parts to read one.",
    ]
    if spec.holdout:
        lines.append(
            f"{spec.holdout:.0%} of the people, picked by a hash of their key, were kept out to test the model."
        )
    return tuple(lines)


def _visibility(release: ModelRelease) -> tuple[str, ...]:
    lines = []
    for party in (*release.parties, *release.outside):
        learned = [line.about for line in release.statement.learned.get(party, ())]
        lines.append(_items(f"{party} learned", learned) if learned else f"{party} learned nothing.")
    return (*lines, _items("Nobody learned", release.statement.withheld))


def _items(lead: str, parts: Sequence[str]) -> str:
    return "\n".join([f"{lead}:", *(f"    - {part}" for part in parts)])


def _performance(release: ModelRelease, positive: str) -> tuple[str, ...]:
    metrics: Mapping[Metric, float] = release.metrics
    lines = []
    if "auc" in metrics:
        lines.append(
            f"Out of 100 pairs of one person for whom {positive} and one other person, the model ranks about "
            f"{100 * metrics['auc']:.0f} the right way round; guessing gets 50. (AUC {metrics['auc']:.3f})"
        )
    if "accuracy" in metrics:
        line = f"It tells about {100 * metrics['accuracy']:.0f} of 100 people right"
        if "base_rate" in metrics:
            frequent = max(metrics["base_rate"], 1 - metrics["base_rate"])
            line += f"; always giving the more frequent answer gets {100 * frequent:.0f}"
        lines.append(f"{line}.")
    if "base_rate" in metrics:
        lines.append(f"Among the people tested, for about {100 * metrics['base_rate']:.0f} of 100 {positive}.")
    return tuple(lines) or ("Not measured: nobody was kept out of training.",)


def _limits(release: ModelRelease) -> tuple[str, ...]:
    lines = [
        "The model shows what goes together in this data, not what causes what.",
        "It holds for people like those in the tables; elsewhere or later it must be tested again.",
        "A decision about a person needs a person who looks at the case; check the error for every group concerned.",
        "Old injustice in the data is in the model: sex, race, origin and age, and what stands in for them, need care.",
        "Whoever holds the coefficients can compute an estimate for anyone whose columns they know.",
        f"It was released because at least {release.minimum_group} people of each kind stood behind it.",
    ]
    auc = release.metrics.get("auc")
    if auc is not None and auc < 0.7:
        lines.insert(0, "The model is weak: it ranks little better than guessing.")
    return tuple(lines)


def _code(value: Class) -> str:
    """A name or value as inline code: a stranger's text can not become markup."""
    printable = "".join(sign if sign.isprintable() else " " for sign in str(value)).replace("`", "'")
    return f"`{printable}`"
