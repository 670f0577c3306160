"""Verbs of those who ask: the catalogue, plans, contracts to propose, runs and results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lingqu.cli.session import (
    HomeOption,
    JsonOption,
    Session,
    UserOption,
    bindings_of,
    intersect_program,
    lookup_program,
    sql_program,
    train_program,
)

if TYPE_CHECKING:
    from lingqu.kinds.errands import Given
    from lingqu.kinds.mechanism import Adversary
    from lingqu.kinds.programs import Program, Value
    from lingqu.node.replies import ContractView, JobView

SqlArgument = Annotated[str, typer.Argument(metavar="SQL", help="The query; @file or - reads it.")]
MinimumOption = Annotated[int, typer.Option("--minimum-group", min=2, help="Smaller groups are withheld.")]
ContractOption = Annotated[
    str | None, typer.Option("--contract", help="A contract's id or its beginning.", show_default="the one that fits")
]
PurposeOption = Annotated[
    str | None, typer.Option("--purpose", help="What the answer is for.", show_default="the named contract's")
]
LimitOption = Annotated[
    list[str] | None, typer.Option("--param", metavar="NAME=LIMITS", help="Open place :NAME, 18..90 or a|b|c.")
]
BindOption = Annotated[
    list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Value of the open place :NAME.")
]
TrainOption = Annotated[Path | None, typer.Option("--train", metavar="SPEC", help="A training specification (JSON).")]
IntersectOption = Annotated[
    Path | None, typer.Option("--intersect", metavar="SPEC", help="An intersection's specification (JSON).")
]
LookupOption = Annotated[Path | None, typer.Option("--lookup", metavar="SPEC", help="A lookup's specification (JSON).")]
PartyOption = Annotated[
    list[str] | None, typer.Option("--party", help="A compute party; repeat.", show_default="chosen by the node")
]
RecipientOption = Annotated[
    list[str] | None,
    typer.Option("--recipient", help="Who receives the result; repeat.", show_default="this organisation"),
]
AdversaryOption = Annotated[
    str,
    typer.Option("--adversary", help="What to withstand: semi-honest or malicious parties."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write it to a .csv, .parquet, .json or .md file.")
]


def catalog(
    table: Annotated[str | None, typer.Argument(help="One table, to see its columns and profile.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """List the tables that this node and its peers publish."""
    session = Session(home, as_json, user)
    assets = session.remote.catalog()
    from lingqu.cli import show
    from lingqu.kinds.errors import BadInput

    if table is None:
        session.give({"assets": assets}, show.catalogue(assets))
        return
    found = [asset for asset in assets if table in (asset.id, asset.name)]
    if len(found) != 1:
        known = ", ".join(asset.id for asset in assets) or "none"
        raise BadInput(f"{len(found)} tables are called {table!r}.", f"Use an id of the catalogue: {known}.")
    session.give(found[0], show.asset(found[0]))


def explain(
    sql: Annotated[str | None, typer.Argument(metavar="[SQL]", help="The query; @file or - reads it.")] = None,
    train: TrainOption = None,
    intersect: IntersectOption = None,
    lookup: LookupOption = None,
    contract: ContractOption = None,
    job: Annotated[str | None, typer.Option("--job", help="Put a job's measured figures beside the estimates.")] = None,
    minimum_group: MinimumOption = 10,
    limits: LimitOption = None,
    parties: PartyOption = None,
    recipients: RecipientOption = None,
    adversary: AdversaryOption = "semi-honest",
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Show the plan, what it will cost and what each party will learn.  Nothing runs."""
    session = Session(home, as_json, user)
    run = session.job(job) if job else None
    asked = any(one is not None for one in (sql, train, intersect, lookup))
    if run and contract is None and not asked:
        contract = run.contract
    if contract is not None and not asked:
        terms = session.contract(contract).terms
        view = session.remote.plan(
            terms.program,
            terms.minimum_group,
            terms.compute,
            recipients=terms.recipients,
            adversary=terms.adversary.value,
        )
    else:
        view = session.remote.plan(
            _program(sql, train, intersect, lookup, limits),
            minimum_group,
            parties,
            recipients=recipients,
            adversary=_adversary(adversary).value,
        )
    from lingqu.cli import show

    document = {"plan_view": view, "job": run} if run else view
    session.give(document, *show.plan(view, run))


def propose(
    title: Annotated[str, typer.Option(help="What people call the contract.")],
    purpose: Annotated[str, typer.Option(help="What the answers are for.")],
    sql: Annotated[str | None, typer.Option("--sql", help="The query; @file or - reads it.")] = None,
    train: TrainOption = None,
    intersect: IntersectOption = None,
    lookup: LookupOption = None,
    uses: Annotated[int, typer.Option(min=1, help="How many runs.")] = 1,
    daily: Annotated[
        int | None, typer.Option(min=1, help="The most runs within 24 hours.", show_default="all uses")
    ] = None,
    expires: Annotated[str, typer.Option(help="30d, 12h, or 2027-01-31.")] = "30d",
    minimum_group: MinimumOption = 10,
    limits: LimitOption = None,
    parties: PartyOption = None,
    recipients: RecipientOption = None,
    adversary: AdversaryOption = "semi-honest",
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Sign a contract over one query or training and send it to the others to sign."""
    from lingqu.cli import show
    from lingqu.node.remote import expiry

    session = Session(home, as_json, user)
    view = session.remote.propose(
        _program(sql, train, intersect, lookup, limits),
        title=title,
        purpose=purpose,
        minimum_group=minimum_group,
        uses=uses,
        expires=expiry(expires),
        daily=daily,
        parties=parties,
        recipients=recipients,
        adversary=_adversary(adversary).value,
    )
    session.give(view, show.contract(view))


def contracts(
    contract: Annotated[str | None, typer.Argument(help="One contract, to read its terms.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """List contracts, or show the terms of one."""
    from lingqu.cli import show

    session = Session(home, as_json, user)
    if contract is None:
        views = session.remote.contracts()
        session.give({"contracts": views}, show.contracts(views))
    else:
        view = session.contract(contract)
        session.give(view, show.contract(view))


def query(
    sql: SqlArgument,
    purpose: PurposeOption = None,
    contract: ContractOption = None,
    bindings: BindOption = None,
    adversary: AdversaryOption = "semi-honest",
    output: OutputOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Run a query under a contract in force and show the released result."""
    session = Session(home, as_json, user)
    agreed, purpose = _agreed(session, sql_program(sql), contract, purpose, _adversary(adversary))
    _run(session, agreed, purpose, bindings_of(bindings or ()), output)


def train(
    spec: Annotated[Path, typer.Argument(help="The training specification (JSON).")],
    purpose: PurposeOption = None,
    contract: ContractOption = None,
    adversary: AdversaryOption = "semi-honest",
    output: OutputOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Train a model under a contract in force and show its card."""
    session = Session(home, as_json, user)
    agreed, purpose = _agreed(session, train_program(spec), contract, purpose, _adversary(adversary))
    _run(session, agreed, purpose, {}, output)


def intersect(
    spec: Annotated[Path, typer.Argument(help="The intersection's specification (JSON).")],
    purpose: PurposeOption = None,
    contract: ContractOption = None,
    adversary: AdversaryOption = "semi-honest",
    output: OutputOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Intersect two organisations' tables under a contract in force and show the released rows."""
    session = Session(home, as_json, user)
    agreed, purpose = _agreed(session, intersect_program(spec), contract, purpose, _adversary(adversary))
    _run(session, agreed, purpose, {}, output)


def lookup(
    spec: Annotated[Path, typer.Argument(help="The lookup's specification (JSON).")],
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys, where one column is one.")] = None,
    file: Annotated[Path | None, typer.Option("--keys", help="A .csv or .parquet file with the key columns.")] = None,
    purpose: PurposeOption = None,
    contract: ContractOption = None,
    adversary: AdversaryOption = "semi-honest",
    output: OutputOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Look keys up in another organisation's table under a contract in force; its owner never learns them."""
    if (file is None) == (not keys):
        raise typer.BadParameter("give keys, or a file of them", param_hint="KEY | --keys")
    from lingqu.kinds.errors import BadInput
    from lingqu.lookup import LookupSpec
    from lingqu.lookup.keys import given, read_keys

    program = lookup_program(spec)
    session = Session(home, as_json, user)
    agreed, purpose = _agreed(session, program, contract, purpose, _adversary(adversary))
    wanted = LookupSpec.parse(program.text)
    tables = [asset for asset in session.remote.catalog() if asset.id == wanted.table]
    if not tables:
        raise BadInput(f"The catalogue has no {wanted.table!r}.", "Look at `lingqu catalog`.")
    _run(session, agreed, purpose, {}, output, given(keys if file is None else read_keys(file), wanted, tables[0]))


def jobs(
    job: Annotated[str | None, typer.Argument(help="One job, to see its steps.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait until it ends.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it at every party.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """List jobs, or show, follow or cancel one."""
    from lingqu.cli import show

    session = Session(home, as_json, user)
    if job is None:
        if follow or cancel:
            raise typer.BadParameter("name the job", param_hint="JOB")
        views = session.remote.jobs()
        session.give({"jobs": views}, show.jobs(views))
        return
    view = session.job(job)
    if cancel:
        view = session.remote.cancel(view.id)
    elif follow and not view.over:
        view = _follow(session, view)
    session.give(view, *show.job(view))


def result(
    job: Annotated[str, typer.Argument(help="The job.")],
    output: OutputOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Show the released result of a job that you asked for."""
    session = Session(home, as_json, user)
    _give_result(session, session.job(job).checked(), output)


def _program(
    sql: str | None, train: Path | None, intersect: Path | None, lookup: Path | None, limits: list[str] | None
) -> Program:
    if sum(one is not None for one in (sql, train, intersect, lookup)) != 1:
        raise typer.BadParameter(
            "give a query, a training, an intersection or a lookup, one of them",
            param_hint="SQL | --train | --intersect | --lookup",
        )
    if lookup is not None:
        return lookup_program(lookup)
    if train is not None:
        return train_program(train)
    if intersect is not None:
        return intersect_program(intersect)
    assert sql is not None
    return sql_program(sql, limits or ())


def _adversary(text: str) -> Adversary:
    from lingqu.kinds.mechanism import Adversary

    return Adversary.named(text)


def _agreed(
    session: Session, program: Program, contract: str | None, purpose: str | None, adversary: Adversary
) -> tuple[ContractView, str]:
    """The contract to run under and the purpose to state; a named contract's program is left to the nodes to check."""
    from lingqu.kinds.errors import Refused
    from lingqu.node.replies import check_adversary

    if contract is None:
        if purpose is None:
            raise typer.BadParameter("say what the answer is for, or name the contract", param_hint="--purpose")
        return session.remote.matching(program, purpose, adversary), purpose
    view = session.contract(contract)
    if not view.covers(program):
        raise Refused(
            f"Contract {view.id} is over another program.",
            "Run what it names (`lingqu contracts ID` shows it), or propose a contract for this.",
            term="program",
        )
    check_adversary(view.terms, adversary)
    return view, purpose or view.terms.purpose


def _run(
    session: Session,
    agreed: ContractView,
    purpose: str,
    bindings: dict[str, Value],
    output: Path | None,
    given: Given | None = None,
) -> None:
    started = session.remote.start(agreed.id, purpose, bindings, given)
    _give_result(session, _follow(session, started).checked(), output)


def _follow(session: Session, job: JobView) -> JobView:
    from lingqu.cli import live

    if session.as_json:
        return session.remote.follow(job.id)
    with live.Progress(session.notes, job) as progress:
        try:
            return session.remote.follow(job.id, progress.update)
        except KeyboardInterrupt:
            progress.close()
            session.note(f"The job goes on. See it: lingqu jobs {job.id[:12]}; stop it: add --cancel.")
            raise


def _give_result(session: Session, job: JobView, output: Path | None) -> None:
    from lingqu.cli import results
    from lingqu.node.rows import Rows

    release = session.remote.result(job.id)
    rows = Rows(session.remote, release)
    model = session.remote.model(job, release) if release.kind == "model" else None
    if output is not None:
        results.write(release, rows, model, output)
        session.note(f"Written to {output}.")
    shown = [] if session.as_json else results.render(release, rows, model, job)
    session.give({"job": job, "release": release, "model": model}, *shown)


VERBS = (catalog, explain, propose, contracts, query, train, intersect, lookup, jobs, result)
