"""The main job in one command: organisations, contracts, answers.

`python -m scenarios.census.demo [--parties 2] [--adversary malicious] [--serve] [--root DIR] [--record DIR]`

Three organisations by default, the third of which holds no table, computes with the others and asks; with `--parties 2`
the two that hold the tables compute alone, and the second one asks.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lingqu.client import connect
from lingqu.kinds.errors import LingquError
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.programs import Program
from lingqu.node.remote import expiry
from lingqu.node.replies import ContractView, PlanView
from lingqu.plan.explain import weighed_text
from scenarios.census import questions
from scenarios.census.ahead import make_ahead, show_used
from scenarios.census.locks import show_locks
from scenarios.census.network import CIVIL, HUMAN, NAMES, Network, network, wait_until
from scenarios.census.proof import show_proof
from scenarios.census.story import Story, finished

HERE = Path(__file__).resolve().parent
WIDTH = 116
NUMBERS = {2: "two", 3: "three"}


def meet(story: Story, net: Network) -> None:
    """Points 1 to 3: the nodes, their pairing, the tables."""
    story.begin()
    table = Table("node", "organisation", "process", "peer address", "certificate")
    for bureau in net.bureaus.values():
        view = bureau.remote("auditor").node()
        assert bureau.process is not None
        table.add_row(view.name, view.title, str(bureau.process.pid), view.address, view.fingerprint[:23] + "…")
    story.say(table)
    kept = ("keys/node.pem", "keys/node.crt", "lingqu.db")
    homes = all((bureau.home / file).is_file() for bureau in net.bureaus.values() for file in kept)
    prints = {bureau.remote("auditor").node().fingerprint for bureau in net.bureaus.values()}
    processes = {bureau.process.pid for bureau in net.bureaus.values() if bureau.process}
    own = homes and len(prints) == len(processes) == len(net.bureaus)
    story.check("each node has its own process, directory, key, certificate and SQLite store", own)
    story.begin()
    for (one, other), digits in net.pair_all().items():
        trusted = confirmed(net, one, other) and confirmed(net, other, one)
        story.check(f"{one} invited {other}; both sides saw {digits} and confirmed", trusted)
    story.check("a stranger's certificate gets nothing", stranger_gets_nothing(net))
    story.begin()
    register = net[CIVIL].remote("manager").register
    register("residents", str(HERE / "residents.parquet"), title="Residents 居民", key=["person_id"])
    register = net[HUMAN].remote("manager").register
    register("employment", str(HERE / "employment.parquet"), title="Employment 就业", key=["person_id"])
    analyst = net[net.asker].remote("analyst")
    wait_until("the analyst's node sees both tables", lambda: len(analyst.catalog()) == 2)
    table = Table("table", "rows", "columns", "what the profile tells of one column")
    for asset in analyst.catalog():
        name = "age" if asset.owner == CIVIL else "hours_per_week"
        profile = asset.profile[name]
        told = f"{name}: {profile.lower:g} to {profile.upper:g}, mean {profile.mean:g}"
        table.add_row(asset.id, f"{asset.rows:,}", str(len(asset.columns)), told)
    story.say(table)
    published = " ".join(asset.canonical().decode() for asset in analyst.catalog())
    story.check("no identity number is in what was published", not contains_identity_number(published))


def confirmed(net: Network, here: str, there: str) -> bool:
    """Whether a node has a peer as confirmed on both sides."""
    return any(p.name == there and p.state == "confirmed" for p in net[here].remote("auditor").node().peers)


def contains_identity_number(text: str) -> bool:
    """Whether an 18-character identity number stands in a text."""
    from scenarios.census.prepare import is_identity_number

    return any(is_identity_number(text[start : start + 18]) for start in range(max(0, len(text) - 17)))


def stranger_gets_nothing(net: Network) -> bool:
    """Whether a peer interface closes the door on a self-made certificate."""
    import ssl

    import httpx

    from lingqu.identity import Certificate, NodeKey, client_context

    with tempfile.TemporaryDirectory() as folder:
        key, place = NodeKey.generate(), Path(folder)
        key.save(place / "key.pem")
        (place / "certificate.pem").write_text(Certificate.issue(key, "stranger", "stranger").pem)
        theirs = Certificate.parse((net[CIVIL].home / "keys" / "node.crt").read_text())
        context = client_context(place / "key.pem", place / "certificate.pem", [theirs])
        address = net[CIVIL].remote("auditor").node().address
        try:
            with httpx.Client(verify=context, trust_env=False) as http:
                http.post(f"https://{address}/peer/messages", content=b"{}", timeout=10)
        except (httpx.TransportError, ssl.SSLError):
            return True
    return False


def ask(story: Story, net: Network, adversary: Adversary) -> dict[str, PlanView]:
    """Points 4 and 5: the questions, their plans and statements."""
    story.begin()
    analyst = net[net.asker].remote("analyst")
    statistics = Program(kind="sql", text=questions.SQL)
    training = Program(kind="train", text=json.dumps(questions.TRAINING))
    story.say(Panel(questions.SQL, title="SQL", title_align="left"))
    features = ", ".join(feature["column"] for feature in questions.TRAINING["features"])
    story.say(f"  Model: logistic regression of income > 50K on {features}")
    story.say(f"  Purpose: [italic]{questions.PURPOSE}[/]")
    views = {
        name: analyst.plan(program, questions.MINIMUM_GROUP, adversary=adversary.value)
        for name, program in (("SQL", statistics), ("Model", training))
    }
    owners = [{use.id.partition("/")[0] for use in view.plan.assets} for view in views.values()]
    story.check("both questions use columns of both bureaus", owners == [{CIVIL, HUMAN}] * 2)
    story.begin()
    for name, view in views.items():
        show_plan(story, name, view)
        everyone = set(view.statement.learned) == set(net.bureaus)
        story.check(f"{name}: the statement names what each of the {len(net.bureaus)} parties learns", everyone)
        named = {step.mechanism for step in view.plan.steps if step.mechanism != "local"}
        weighed = {one.mechanism for one in view.weighed if one.chosen}
        story.check(f"{name}: one mechanism, chosen among {len(view.weighed)}: {', '.join(named)}", named == weighed)
        withheld = " ".join(view.statement.withheld)
        hidden = "who is in both" in withheld and "how many" in withheld
        story.check(f"{name}: nobody learns who is in both tables, nor how many", hidden)
    return views


def show_plan(story: Story, name: str, view: PlanView) -> None:
    """Print a plan's steps and its disclosure statement."""
    table = Table("step", "technique", "why", "rounds", "bytes", title=f"The plan: {name}", title_justify="left")
    for step in view.plan.steps:
        where = f" at {', '.join(step.parties)}" if step.mechanism == "local" else ""
        why = step.reason.partition(f"; {step.mechanism}: ")[0]
        table.add_row(step.id, step.mechanism + where, why, f"{step.rounds:,}", f"{step.bytes:,}")
    story.say(table)
    story.say("  Why this mechanism:")
    story.say(*(f"  • {line}" for line in weighed_text(view.weighed).splitlines()), sep="\n")
    lines = []
    for party, learned in view.statement.learned.items():
        lines += [f"[bold]{party}[/] learns", *(f"  • {line.about}" for line in learned), "  • nothing else"]
    lines += ["[bold]Nobody[/] learns", *(f"  • {text}" for text in view.statement.withheld)]
    story.say(Panel("\n".join(lines), title=f"Who will learn what: {name}", title_align="left"))


def agree(
    story: Story, net: Network, views: Mapping[str, PlanView], adversary: Adversary
) -> tuple[ContractView, ContractView]:
    """Point 6: proposals, a run that is refused for want of signatures, and the signatures."""
    story.begin()
    analyst = net[net.asker].remote("analyst")
    contracts = []
    for title, view, uses in zip(("Adult education", "Who earns more"), views.values(), (2, 1), strict=True):
        contract = analyst.propose(
            view.plan.program,
            title=title,
            purpose=questions.PURPOSE,
            minimum_group=questions.MINIMUM_GROUP,
            uses=uses,
            expires=expiry("1d"),
            adversary=adversary.value,
        )
        contracts.append(contract)
        run = partial(finished, analyst, contract.id)
        for signed, signer in enumerate(net.signers):
            story.refused(f"a run with {signed} of {len(net.signers)} approvals", "signatures", run)
            net.approve(signer, contract.id)
        net.wait_in_force(contract.id)
        digest = contract.terms.statement_digest
        held = [bureau.remote("auditor").contract(contract.id) for bureau in net.bureaus.values()]
        same = all(view.terms.statement.sha256() == digest and view.terms == contract.terms for view in held)
        story.check(f"“{title}” is in force at every node; its terms hold the statement's digest {digest}", same)
        promised = all(view.terms.adversary is adversary for view in held)
        story.check(f"“{title}” promises to withstand {adversary.value} parties", promised)
    return contracts[0], contracts[1]


def answer(
    story: Story, net: Network, contracts: tuple[ContractView, ContractView], views: Mapping[str, PlanView]
) -> None:
    """Point 7: both answers beside those on pooled tables."""
    story.begin()
    make_ahead(story, net, contracts)
    client = connect(net[net.asker].home)
    began = time.monotonic()
    query = client.sql(questions.SQL, purpose=questions.PURPOSE, minimum_group=questions.MINIMUM_GROUP)
    result = query.run(contract=contracts[0].id, progress=story.follow("SQL"))
    seconds = [time.monotonic() - began]
    began = time.monotonic()
    model = client.train(questions.TRAINING, questions.PURPOSE, contracts[1].id, story.follow("training"))
    seconds.append(time.monotonic() - began)
    show_figures(story, net, contracts, views, seconds)
    show_used(story, net, contracts)
    story.doing("the same on pooled tables, for comparison only")
    truth = questions.pooled(HERE / "residents.parquet", HERE / "employment.parquet")
    compare_groups(story, result.to_arrow().to_pylist(), result.withheld, truth)
    compare_models(story, model, truth)
    show_card(story, model)
    for other in net.signers:
        story.check(f"{other} holds no result", not holds_result(net[other]))


def show_figures(
    story: Story,
    net: Network,
    contracts: Sequence[ContractView],
    views: Mapping[str, PlanView],
    seconds: Sequence[float],
) -> None:
    """What each answer took, measured by the workers of all nodes, beside what was estimated."""
    table = Table("answer", "mechanism", "seconds", "rounds", "estimated", "bytes of all parties", "estimated")
    for (name, view), contract, took in zip(views.items(), contracts, seconds, strict=True):
        ran = [
            next(job for job in bureau.remote("auditor").jobs() if job.contract == contract.id and job.state == "done")
            for bureau in net.bureaus.values()
        ]
        rounds = max(sum(step.rounds for step in job.steps) for job in ran)
        sent = sum(step.bytes for job in ran for step in job.steps)
        table.add_row(
            name,
            ", ".join(contract.terms.techniques),
            f"{took:.1f}",
            f"{rounds:,}",
            f"{sum(step.rounds for step in view.plan.steps):,}",
            f"{sent:,}",
            f"{sum(step.bytes for step in view.plan.steps):,}",
        )
    story.say(table)


def holds_result(bureau: Any) -> bool:
    """Whether an owner's analyst can fetch any result from the own node."""
    remote = bureau.remote("analyst")
    for job in remote.jobs():
        try:
            remote.result(job.id)
        except LingquError:
            continue
        return True
    return False


def compare_groups(story: Story, rows: list[dict[str, Any]], withheld: Any, truth: questions.Pooled) -> None:
    """Show each group beside the pooled answer and check counts and averages."""
    ours = {row["education"]: row for row in rows}
    table = Table("education", "people", "pooled", "average hours", "pooled", "share > 50K", "pooled")
    counts, averages, small = True, 0.0, []
    for name, people, hours, share in truth.groups:
        if people < questions.MINIMUM_GROUP:
            small.append(name)
            counts = counts and name not in ours
            table.add_row(name, "withheld", str(people), "withheld", "", "withheld", "", style="yellow")
            continue
        row = ours.get(name)
        if row is None:
            counts = False
            continue
        counts = counts and row["people"] == people
        pairs = ((row["average_hours"], hours), (row["share_high_income"], share))
        averages = max(averages, *(abs(mine - theirs) / abs(theirs) if theirs else abs(mine) for mine, theirs in pairs))
        cells = (f"{value:.6f}" for pair in pairs for value in pair)
        table.add_row(name, str(row["people"]), str(people), *cells)
    table.caption = "“pooled” is computed by DuckDB on both tables together: a comparison that only a demo can make"
    story.keep(table)
    story.check("every count equals DuckDB's on the pooled tables exactly", counts)
    story.check(f"averages agree with DuckDB's: largest relative difference {averages:.1e} ≤ 1e-6", averages <= 1e-6)
    story.check(
        f"groups under {questions.MINIMUM_GROUP} people are withheld: {', '.join(small)}", bool(small) and counts
    )
    named = ", ".join(str(value) for key in withheld for value in key)
    story.check(f"the release says which: {named}", sorted(named.split(", ")) == sorted(small))


def compare_models(story: Story, model: Any, truth: questions.Pooled) -> None:
    """Show the model's test AUC beside scikit-learn's."""
    ours = model.metrics["auc"]
    table = Table("model", "test AUC", "computed")
    table.add_row("Lingqu, both bureaus, every row at home", f"{ours:.4f}", "on shares, over hidden held-out people")
    table.add_row("scikit-learn, pooled join", f"{truth.auc:.4f}", "on pooled data, for comparison only")
    for owner, auc in truth.auc_of.items():
        table.add_row(f"scikit-learn, {owner} columns alone", f"{auc:.4f}", "on pooled data, for comparison only")
    story.keep(table)
    story.check(f"AUC within 0.002 of scikit-learn's: {abs(ours - truth.auc):.4f}", abs(ours - truth.auc) <= 0.002)
    alone = max(truth.auc_of.values())
    story.check(f"above what either bureau reaches alone: {ours:.4f} > {alone:.4f}", ours > alone)


def show_card(story: Story, model: Any) -> None:
    """Print the model card that a non-programmer reads."""
    from rich.markdown import Markdown

    from lingqu.ml import model_card

    story.say(Panel(Markdown(model_card(model).to_markdown()), title="Model card", title_align="left"))


def serve(console: Console, net: Network) -> None:
    """Leave the nodes running until the user ends the demo."""
    for bureau in net.bureaus.values():
        remote = bureau.remote("auditor")
        console.print(
            f"{bureau.title} {bureau.name}: API {remote.url}, peers {remote.node().address}, home {bureau.home}"
        )
    console.print("The nodes keep running. Try `lingqu catalog --home …`; Ctrl-C ends them.")
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    done.wait()


def tell(console: Console, net: Network, adversary: Adversary, picture: Path | None = None) -> bool:
    """Tell the nine points; True when every check holds."""
    story = Story(console, len(net.bureaus))
    with story.progress:
        meet(story, net)
        views = ask(story, net, adversary)
        contracts = agree(story, net, views, adversary)
        answer(story, net, contracts, views)
        story.begin()
        before = show_locks(story, net, contracts)
        story.begin()
        show_proof(story, net, before)
    good = story.finish()
    if picture:
        story.picture(picture)
    return good


def main() -> int:
    """Run the demo; exit status 0 when every check holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parties", type=int, choices=tuple(NUMBERS), default=3, help="how many compute")
    parser.add_argument("--adversary", default="semi-honest", help="what to withstand: semi-honest or malicious")
    parser.add_argument("--serve", action="store_true", help="leave the nodes running afterwards")
    parser.add_argument("--root", type=Path, help="where the nodes' homes go (default: a temporary folder)")
    parser.add_argument("--record", type=Path, help="record the traffic in the clear, for tests")
    parser.add_argument("--svg", type=Path, help="write a picture of the answers, the locks and the nine points")
    options = parser.parse_args()
    console = Console(highlight=False)
    if console.width < WIDTH:
        console = Console(highlight=False, width=WIDTH)
    began = time.monotonic()
    number = NUMBERS[options.parties]
    title = f"灵渠 Lingqu: {number} organisations, one contract, one answer. 数据可用不可见: usable, never seen."
    console.print(Group(Text(title, style="bold")))
    with tempfile.TemporaryDirectory(prefix="lingqu-demo-") as folder:
        root = options.root or Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        try:
            adversary = Adversary.named(options.adversary)
            with network(root, options.record, NAMES[: options.parties]) as net:
                good = tell(console, net, adversary, options.svg)
                seconds = time.monotonic() - began
                console.print(f"{'Every check holds' if good else 'SOME CHECKS FAIL'}; {seconds:.0f} s in all.")
                if options.serve and good:
                    serve(console, net)
        except LingquError as error:
            console.print(f"[bold red]{error.cause}[/] {error.cure}")
            return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
