"""How the command line writes things for people.

Titles, programs and errors come from other organisations: `safe` takes out what could steer a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from lingqu.kinds.disclosure import Statement
    from lingqu.kinds.errors import LingquError
    from lingqu.kinds.schema import Asset, ColumnProfile
    from lingqu.node.replies import ContractView, JobView, NodeView, PeerView, PlanView, StepView, SupplyView
    from lingqu.plan.plan import Step

SHORT = 12
STATE_STYLES = {
    "in-force": "green",
    "done": "green",
    "ready": "green",
    "making": "cyan",
    "waiting": "yellow",
    "confirmed": "green",
    "proposed": "yellow",
    "signed": "yellow",
    "pending": "yellow",
    "running": "cyan",
    "admitting": "cyan",
    "failed": "red",
    "refused": "red",
    "revoked": "red",
    "rejected": "red",
}


def safe(text: str) -> str:
    """Text without control characters (a terminal would obey them), line feeds and tabs kept."""
    return "".join(mark if mark in "\n\t" or mark.isprintable() else "�" for mark in text)


def short(identifier: str) -> str:
    """The beginning of an id, enough to name it on the command line."""
    return identifier.removeprefix("sha256:")[:SHORT]


def amount(size: int) -> str:
    """Bytes as people write them."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def state(name: str) -> Text:
    """A state in its colour."""
    return Text(name, style=STATE_STYLES.get(name, ""))


def moment(instant: str | None) -> str:
    """A time as people write it, to the minute; the heading says that it is UTC."""
    return instant[:16].replace("T", " ") if instant else ""


def grid(*columns: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> Table:
    """An empty table; `right` names the columns of figures, `whole` those that people copy: never broken."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    figures, copied = set(right), set(whole)
    for column in columns:
        side: Any = "right" if column in figures else "left"
        table.add_column(column, justify=side, overflow="fold", no_wrap=column in copied or column in figures)
    return table


def facts(lines: Iterable[tuple[str, RenderableType]]) -> Table:
    """Labels and what stands beside them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, content in lines:
        table.add_row(label, safe(content) if isinstance(content, str) else content)
    return table


def error(problem: LingquError) -> RenderableType:
    """An error: cause (a caret under the place keeps its column), term and party, cure."""
    lines = Text()
    lines.append("refused: " if problem.code == "refused" else "error: ", style="bold red")
    lines.append(safe(problem.cause))
    if problem.term:
        lines.append("\n  term:  ", style="bold")
        lines.append(safe(problem.term))
    if problem.party:
        lines.append("\n  party: ", style="bold")
        lines.append(safe(problem.party))
    if problem.cure:
        lines.append("\n  cure:  ", style="bold")
        lines.append(safe(problem.cure))
    lines.no_wrap = "\n" in problem.cause
    return lines


def made(document: dict[str, Any]) -> list[RenderableType]:
    """A new node, with the passwords that are shown this once."""
    table = grid("user", "role", "password (shown once)")
    for user in document["users"]:
        table.add_row(user["name"], user["role"], user["password"])
    lines = [("Node", document["name"]), ("Home", document["home"]), ("Address", document["address"])]
    hint = "Tokens for this machine's command line are in the home. Next: lingqu serve"
    return [facts(lines), table, Text(hint, style="dim")]


def node(view: NodeView) -> RenderableType:
    """A node and its peers."""
    own = facts(
        [
            ("Node", f"{view.title} ({view.name})"),
            ("Address", view.address),
            ("Fingerprint", view.fingerprint),
            ("Version", view.version),
        ]
    )
    if not view.peers:
        return Group(own, Text("\nNo peers yet: `lingqu invite` here, `lingqu join CODE` there."))
    table = grid("peer", "title", "address", "state", "compare")
    for peer in view.peers:
        digits = peer.comparison if peer.state != "confirmed" else None
        table.add_row(safe(peer.name), safe(peer.title), safe(peer.address), state(peer.state), digits or "")
    return Group(own, Text(), table)


def pairing(peer: PeerView) -> RenderableType:
    """A pairing that waits for people to compare digits."""
    return Group(
        facts(
            [
                ("Peer", f"{peer.title} ({peer.name})"),
                ("Fingerprint", peer.fingerprint),
                ("Compare", Text(peer.comparison or "-", style="bold cyan")),
            ]
        ),
        Text(f"Both sides must show the same digits. Then, on both: lingqu confirm {safe(peer.name)}", style="dim"),
    )


def catalogue(assets: Sequence[Asset]) -> RenderableType:
    """All tables of the catalogue."""
    if not assets:
        return Text("The catalogue is empty: `lingqu register NAME FILE` adds a table.")
    table = grid(
        "table", "title", "rows", "columns", "grade", "version", right=("rows", "columns", "version"), whole=("table",)
    )
    for item in assets:
        figures = (f"{item.rows:,}", str(len(item.columns)))
        table.add_row(item.id, safe(item.title), *figures, item.grade.value, str(item.version))
    return Group(table, Text("Columns and what is published of them: lingqu catalog TABLE", style="dim"))


def asset(item: Asset) -> RenderableType:
    """One table: its columns and what is published of them."""
    head = facts(
        [
            ("Table", f"{item.title} ({item.id}), version {item.version}"),
            ("Rows", f"{item.rows:,}"),
            ("Grade", item.grade.value),
            ("Registered", item.registered),
        ]
    )
    table = grid("column", "type", "published profile")
    for column in item.columns:
        kind = column.type.value + (", may be null" if column.nullable else "")
        table.add_row(safe(column.name), kind, _profile(item.profile[column.name]))
    return Group(head, Text(), table)


def _profile(profile: ColumnProfile) -> str:
    parts = []
    if profile.lower is not None and profile.upper is not None:
        parts.append(f"{profile.lower + 0.0:g} to {profile.upper + 0.0:g}")  # no -0
    if profile.mean is not None:
        parts.append(f"mean {profile.mean:g}" + (f" ± {profile.deviation:g}" if profile.deviation is not None else ""))
    if profile.categories is not None:
        named = ", ".join(safe(value) for value in profile.categories[:8])
        more = len(profile.categories) - 8
        parts.append(named + (f", … ({more} more)" if more > 0 else ""))
    if profile.unique:
        parts.append("unique")
    elif profile.repeats is not None:
        parts.append(f"at most {profile.repeats} times each")
    if profile.nulls:
        parts.append(f"{profile.nulls:.0%} null")
    return "; ".join(part for part in parts if part) or "nothing"


def statement(view: Statement) -> RenderableType:
    """Who learns what: the lines that owners sign."""
    table = Table(box=box.ROUNDED, show_lines=True, title="Who learns what", title_justify="left")
    table.add_column("party", style="bold", overflow="fold")
    table.add_column("learns", overflow="fold")
    for party in sorted(view.learned):
        cell = Text()
        for fact in view.learned[party]:
            cell.append(f"• {safe(fact.about)}").append(f" [{fact.fact.value}, step {fact.step}]\n", style="dim")
        table.add_row(party, cell.append("• nothing else" if view.learned[party] else "nothing"))
    if view.withheld:
        table.add_row("nobody", "\n".join(f"• {safe(line)}" for line in view.withheld))
    if view.assumes:
        table.add_row("on this condition", safe(view.assumes))
    return table


def plan(view: PlanView, run: JobView | None = None) -> list[RenderableType]:
    """A plan's steps with technique, cost and reason; a run's measured figures beside the estimates."""
    from lingqu.plan.explain import Measured, explain, network, weighed_text

    measured = {s.id: Measured(s.rounds, s.bytes, s.seconds) for s in run.steps} if run else {}
    rows = explain(view.plan, measured, view.latency, view.bandwidth)
    figures = ["rounds", "bytes", "seconds"] + (["measured here"] if run else [])
    table = grid("step", "technique", *figures, "why, and what it discloses", right=figures, whole=("step",))
    chosen: dict[str, None] = {}
    for row, step in zip(rows, view.plan.steps, strict=True):
        reason, _, choice = row.reason.partition(f"; {step.mechanism}: ")
        chosen |= {f"{step.mechanism}: {choice}": None} if choice else {}
        why = Text(safe(reason))
        why.append(f"\ndiscloses: {safe(_told(step, view.plan.everyone))}", style="dim")
        cells: list[RenderableType] = [
            row.step,
            row.technique,
            str(row.rounds),
            amount(row.bytes),
            f"{row.seconds:.3f}",
        ]
        if run:
            found = row.measured
            cells.append(f"{found.rounds} r, {amount(found.bytes)}, {found.seconds:.3f} s" if found else "-")
        table.add_row(*cells, why)
    rounds, sent = sum(row.rounds for row in rows), sum(row.bytes for row in rows)
    total = f"Together {rounds} rounds, {amount(sent)}, about {sum(row.seconds for row in rows):.1f} s of traffic"
    ahead = f" Of this, nodes make about {amount(view.ahead_bytes)} ahead of a run." if view.ahead_bytes else ""
    return [
        table,
        Text(safe(weighed_text(view.weighed)), style="dim")
        if view.weighed
        else Text(safe("\n".join(chosen)), style="dim"),
        Text(f"{total} (all parties' payload; {network(view.latency, view.bandwidth)}).{ahead}", style="dim"),
        *([facts(_supplied(run))] if run and run.supplies else []),
        Text(),
        statement(view.statement),
        facts([("Plan", view.plan_digest), ("Statement", view.statement_digest)]),
    ]


def _told(step: Step, parties: Sequence[str]) -> str:
    """What a step discloses, each thing once with those who learn it."""
    told: dict[str, list[str]] = {}
    for line in step.reveals:
        told.setdefault(line.about, []).append(line.party)
    named = ("everyone" if set(parties) <= set(who) else ", ".join(who) for who in told.values())
    return "; ".join(f"{about} (to {who})" for about, who in zip(told, named, strict=True)) or "nothing"


def terms(view: ContractView) -> RenderableType:
    """The terms as an owner should read them before signing."""
    from lingqu.contract import render

    shown = [(label, text) for label, text in render(view.terms) if not label.startswith("What ")]
    return Group(Panel(facts(shown), title="Terms", title_align="left"), statement(view.terms.statement))


def contract(view: ContractView) -> RenderableType:
    """A contract: its terms and where it stands."""
    return Group(terms(view), standing(view))


def standing(view: ContractView) -> RenderableType:
    """Where a contract stands: signatures, uses."""
    lines: list[tuple[str, RenderableType]] = [
        ("State", state(view.state)),
        ("Signed by", ", ".join(view.approvals) or "nobody"),
    ]
    if view.waiting:
        lines.append(("Waiting for", ", ".join(view.waiting)))
    used = f"{view.spent} of {view.terms.uses} spent" + (f", {view.reserved} reserved" if view.reserved else "")
    lines.append(("Uses", used))
    lines += [("Refused", f"{item.at} by {item.party}, term {item.term}: {item.cause}") for item in view.refusals]
    return facts(lines)


def contracts(views: Sequence[ContractView]) -> RenderableType:
    """All contracts, one a line."""
    if not views:
        return Text("No contracts yet: `lingqu propose` makes one.")
    table = grid(
        *("id", "title", "purpose", "state", "uses", "until (UTC)"),
        right=("uses",),
        whole=("id", "state", "until (UTC)"),
    )
    waits = Text()
    for view in views:
        if view.state == "proposed":
            waits.append(f"{short(view.id)} waits for {', '.join(view.waiting)}: lingqu approve {short(view.id)}\n")
        table.add_row(
            short(view.id),
            safe(view.terms.title),
            safe(view.terms.purpose),
            state(view.state),
            f"{view.spent}/{view.terms.uses}",
            moment(view.terms.expires),
        )
    return Group(table, waits) if waits else table


def jobs(views: Sequence[JobView]) -> RenderableType:
    """All jobs, one a line."""
    if not views:
        return Text("No jobs yet: `lingqu query` or `lingqu train` starts one.")
    copied = ("id", "contract", "state", "started (UTC)", "ended (UTC)")
    ends_badly = any(view.error for view in views)
    table = grid(*copied, *(["why"] if ends_badly else []), whole=copied)
    for view in views:
        why = [safe(str(view.error.get("cause", ""))) if view.error else ""] if ends_badly else []
        times = (moment(view.started), moment(view.ended))
        table.add_row(short(view.id), short(view.contract), state(view.state), *times, *why)
    return table


def steps(view: JobView) -> Table:
    """A job's steps with their measured figures."""
    table = grid("step", "what", "state", "rounds", "sent", "seconds", right=("rounds", "sent", "seconds"))
    for step in view.steps:
        begun = step.state != "waiting"
        table.add_row(
            step.id,
            step.operator,
            _far(step),
            str(step.rounds) if begun else "",
            amount(step.bytes) if begun else "",
            f"{step.seconds:.2f}" if begun else "",
        )
    return table


def _far(step: StepView) -> Text:
    """A step's state, with the rows that it has dealt with while it runs."""
    far = state(step.state)
    return far.append(f", {step.rows:,} of {step.of:,} rows") if step.of and step.state == "running" else far


def _supplied(view: JobView) -> list[tuple[str, RenderableType]]:
    """What a run's correlations took at this node, as measured."""
    if view.supplies is None:
        return []
    return [
        (label, f"correlations, {took.rounds} rounds, {amount(took.bytes)} sent, {took.milliseconds / 1000:.2f} s")
        for label, took in (("Made ahead", view.supplies.ahead), ("Made on line", view.supplies.online))
    ]


def job(view: JobView) -> list[RenderableType]:
    """One job: state, steps, and its error where it has one."""
    from lingqu.node.replies import rebuilt

    lines: list[tuple[str, RenderableType]] = [
        ("Job", view.id),
        ("Contract", view.contract),
        ("State", state(view.state)),
        ("Started", view.started or "-"),
        ("Ended", view.ended or "-"),
    ]
    lines += _supplied(view)
    shown: list[RenderableType] = [facts(lines), steps(view)]
    if view.error:
        shown.append(Padding(error(rebuilt(view.error)), (0, 0, 1, 0)))
    return shown


def supplies(views: Sequence[SupplyView]) -> RenderableType:
    """Correlations made ahead, a contract a line."""
    if not views:
        return Text("No contract in force takes correlations that are made ahead.")
    columns = ("contract", "title", "mechanism", "state", "runs", "portions", "on disk", "why it waits")
    table = grid(*columns, right=("runs", "portions", "on disk"), whole=("contract", "state"))
    for view in views:
        table.add_row(
            short(view.contract),
            safe(view.title),
            view.mechanism,
            state(view.state),
            f"{view.runs}/{view.wanted}",
            f"{view.portions}/{view.portions_wanted}",
            amount(view.bytes),
            safe(view.cause),
        )
    return table


def entries(items: Sequence[dict[str, Any]]) -> RenderableType:
    """Entries of a ledger, one a line."""
    table = grid("index", "at", "kind", "about", right=("index",))
    for item in items:
        body = item.get("body") if isinstance(item.get("body"), dict) else {}
        about = "; ".join(f"{name} {_brief(value)}" for name, value in (body or {}).items() if _tells(value))
        table.add_row(str(item.get("index", "")), str(item.get("at", "")), safe(str(item.get("kind", ""))), about)
    return table


def _tells(value: object) -> bool:
    """Whether a field says something to people: no token, no signed note, not empty."""
    return value is not None and not (isinstance(value, str) and (len(value) > 200 or "\n" in value))


def _brief(value: object) -> str:
    text = safe(value if isinstance(value, str) else str(value))
    text = short(text) if text.startswith("sha256:") else text
    return text if len(text) <= 60 else text[:59] + "…"


RECORDED = {
    "register": ("table registered", "tables registered"),
    "pair": ("record of a pairing", "records of pairings"),
    "unpair": ("record of a pairing's end", "records of pairings' ends"),
    "propose": ("contract proposed", "contracts proposed"),
    "approve": ("signature under a contract", "signatures under contracts"),
    "reject": ("contract rejected", "contracts rejected"),
    "revoke": ("contract revoked", "contracts revoked"),
    "agreement": ("contract signed by all its parties", "contracts signed by all their parties"),
    "run": ("run started", "runs started"),
    "spend": ("use spent", "uses spent"),
    "release": ("result released", "results released"),
    "receipt": ("receipt of a party for its part of a run", "receipts of parties for their parts of runs"),
    "refuse": ("refusal", "refusals"),
    "fail": ("run that failed", "runs that failed"),
    "checkpoint-seen": ("checkpoint of a peer cosigned", "checkpoints of peers cosigned"),
}


def report(document: dict[str, Any]) -> RenderableType:
    """What a verification found, its verdict, and what the history tells of, in words."""
    lines = Text()
    for finding in document["findings"]:
        said = safe(finding["text"])
        if finding["holds"] and said.startswith("keys"):
            lines.append(f"! {said}\n", style="yellow")  # no proof: something to do
            continue
        lines.append("✓ " if finding["holds"] else "✗ ", style="green" if finding["holds"] else "bold red")
        lines.append(said + "\n", style="" if finding["holds"] else "red")
    if document["ok"]:
        lines.append("\nEverything holds: ", style="bold green")
        lines.append("nothing in this history was altered, dropped or put in another order.")
    else:
        wrong = sum(not finding["holds"] for finding in document["findings"])
        lines.append("\nNOT VERIFIED: ", style="bold red")
        lines.append(f"{wrong} {'thing does' if wrong == 1 else 'things do'} not hold, marked ✗ above.")
    lines.append("\nIt tells of: " if document["summary"] else "\nIt is empty.")
    for kind, count in document["summary"].items():
        one, many = RECORDED.get(kind, (kind, kind))
        lines.append(f"\n  {count:>6,}  {one if count == 1 else many}")
    return lines
