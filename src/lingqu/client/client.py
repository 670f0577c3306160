"""The client: a catalogue, queries, contracts and training, all asked of one's own node."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from lingqu.client.answers import Result, html_table
from lingqu.client.asked import Agreement, Arranged, Asked
from lingqu.client.intersections import Intersection, On, specified
from lingqu.client.lookups import Lookup, lookup_spec
from lingqu.kinds.documents import canonical
from lingqu.kinds.errors import BadInput
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.programs import Parameter, Program, Value
from lingqu.kinds.schema import Asset
from lingqu.node.remote import Home, Progress, Remote
from lingqu.node.replies import JobView

if TYPE_CHECKING:
    from lingqu.ml import ModelRelease, TrainSpec

Limits = Parameter | tuple[float, float] | Sequence[Value]
"""A template's open place: a Parameter, a (lower, upper) pair of numbers, or a list or set of permitted values."""


def connect(
    home: str | Path | None = None,
    url: str | None = None,
    token: str | None = None,
    user: str = "analyst",
) -> Client:
    """Connect to your organisation's node.

    home: the node's directory on this machine; LINGQU_HOME or ~/.lingqu when nothing is given.  user: whose token in
    that directory is used.  url, token: a node reached otherwise, and the token that its login gave (or LINGQU_TOKEN).
    Raises Unavailable when no node answers, Refused when the token is not valid there, BadInput for half an address.

    >>> import lingqu
    >>> client = lingqu.connect(home="/srv/lingqu")  # doctest: +SKIP
    >>> client.catalog()  # doctest: +SKIP
    """
    if url is not None:
        token = token or os.environ.get("LINGQU_TOKEN")
        if home is not None or not token:
            raise BadInput("A url goes with a token, and not with a home.", 'Call connect(url="...", token="...").')
        remote = Remote(url, token)
    else:
        if token is not None:
            raise BadInput("A token goes with a url.", 'Call connect(url="...", token="..."), or connect(home="...").')
        place = Path(home or os.environ.get("LINGQU_HOME") or Path.home() / ".lingqu")
        remote = Remote.at(Home(place.expanduser()), user)
    return Client(remote)


class Catalog(tuple[Asset, ...]):
    """The tables that one may ask about: a tuple of `Asset` that shows itself as a table.

    `catalog["owner/name"]` finds a table by its id; numbers and slices work as in every tuple.
    """

    __slots__ = ()

    def named(self, identifier: str) -> Asset:
        """The table of that id; BadInput lists what there is."""
        for asset in self:
            if asset.id == identifier:
                return asset
        known = ", ".join(asset.id for asset in self) or "none"
        raise BadInput(f"The catalogue has no {identifier!r}.", f"Known: {known}.")

    def rows(self) -> list[tuple[str, ...]]:
        """(id, title, rows, columns, grade) of each table, as text."""
        return [
            (
                asset.id,
                asset.title,
                f"{asset.rows:,}",
                ", ".join(f"{column.name}: {column.type.value}" for column in asset.columns),
                asset.grade.value,
            )
            for asset in self
        ]

    def __repr__(self) -> str:
        lines = [
            f"{name}  {title}, {rows} rows, {grade}\n    {columns}" for name, title, rows, columns, grade in self.rows()
        ]
        return "\n".join([f"<Catalog of {len(self)} tables>", *lines])

    def _repr_html_(self) -> str:
        return html_table(("table", "title", "rows", "columns", "grade"), self.rows())


class Client:
    """An analyst's view of the node.  Made by `lingqu.connect`; a context manager that closes its connections.

    >>> client = lingqu.connect()  # doctest: +SKIP
    >>> query = client.sql("SELECT education, COUNT(*) AS people ...", purpose="labour statistics")  # doctest: +SKIP
    >>> query.explain()  # doctest: +SKIP
    >>> query.propose(title="Education", uses=3).wait()  # doctest: +SKIP
    >>> query.run().to_pandas()  # doctest: +SKIP
    """

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def __repr__(self) -> str:
        return f"<lingqu client of {self.remote.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self.remote.close()

    def catalog(self) -> Catalog:
        """Every table that this node and its peers publish: columns, row counts, profiles; never a row."""
        return Catalog(self.remote.catalog())

    def sql(
        self,
        text: str,
        *,
        purpose: str,
        minimum_group: int = 10,
        parameters: Mapping[str, Limits] | None = None,
        parties: Sequence[str] | None = None,
        recipients: Sequence[str] | None = None,
        adversary: str = Adversary.SEMI_HONEST,
    ) -> Query:
        """A query, not yet asked.

        purpose: what the answer is for, in the words of the contract.  minimum_group: smaller groups are withheld.
        parameters: limits of the open places `:name`; `run` binds them.  parties: the two or three compute parties in
        order, chosen by the node when not given; owners beside them send their shares from outside.  recipients: who
        receives the result, this organisation among them; it alone when not given.  adversary: "malicious-with-abort",
        or "malicious" for short, has every step checked against parties that deviate.

        >>> client.sql(
        ...     "SELECT education, COUNT(*) AS people FROM civil_affairs.residents WHERE age >= :lo GROUP BY education",
        ...     purpose="labour statistics", parameters={"lo": (18, 60)},
        ... )  # doctest: +SKIP
        """
        limits = {name: limits_of(value) for name, value in (parameters or {}).items()}
        program = Program(kind="sql", text=text.strip().removesuffix(";").rstrip(), parameters=limits)
        return Query(self.remote, program, purpose, minimum_group, Arranged(parties, recipients, adversary))

    def tables(
        self,
        *tables: str,
        on: str | Sequence[str | tuple[str, str]],
        purpose: str,
        contract: str | None = None,
        minimum_group: int = 10,
        progress: Progress | None = None,
        parties: Sequence[str] | None = None,
        recipients: Sequence[str] | None = None,
        adversary: str = Adversary.SEMI_HONEST,
    ) -> Tables:
        """One table or two joined ones, for an estimator's `fit`.

        on: the key columns, a pair where the two tables name them differently.  contract: the one to run under; the
        one in force that covers the training when not given.  parties, recipients, adversary: as for `sql`.

        >>> people = client.tables("civil-affairs/residents", "human-resources/employment", on="person_id",
        ...                        purpose="labour statistics")  # doctest: +SKIP
        >>> LogisticRegression().fit(people, label=("human-resources/employment.income", ">50K"),
        ...                          features=["civil-affairs/residents.age"])  # doctest: +SKIP
        """
        arranged = Arranged(parties, recipients, adversary)
        return Tables(self.remote, tables, on, purpose, contract, minimum_group, progress, arranged)

    join = tables

    def train(
        self,
        spec: TrainSpec | Mapping[str, Any],
        purpose: str,
        contract: str | Agreement | None = None,
        progress: Progress | None = None,
    ) -> ModelRelease:
        """Train what a specification says, under a contract in force; as `Query.run`."""
        return self.training(spec, purpose=purpose).run(contract, progress=progress)

    def training(
        self,
        spec: TrainSpec | Mapping[str, Any],
        *,
        purpose: str,
        minimum_group: int = 10,
        parties: Sequence[str] | None = None,
        recipients: Sequence[str] | None = None,
        adversary: str = Adversary.SEMI_HONEST,
    ) -> Training:
        """A training from its specification, not yet asked: to explain, propose and run; arguments as for `sql`."""
        from lingqu.ml import TrainSpec

        if not isinstance(spec, TrainSpec):
            spec = TrainSpec.parse(canonical(spec))
        return Training(self.remote, spec, purpose, minimum_group, Arranged(parties, recipients, adversary))

    def intersect(
        self,
        first: str,
        second: str,
        *more: str,
        on: On,
        purpose: str,
        forms: str | Sequence[str] = "exact/1",
        columns: Mapping[str, Sequence[str]] | None = None,
        result: Literal["elements", "size"] = "elements",
        largest: int | Mapping[str, int] | None = None,
        published: bool = False,
        mechanism: str | None = None,
        minimum_group: int = 10,
        recipients: Sequence[str] | None = None,
        adversary: str = Adversary.SEMI_HONEST,
    ) -> Intersection:
        """An intersection of two to sixteen organisations' tables, not yet asked.

        first, second, more: the tables, one of them this organisation's.  on: the key columns, each with as many names
        as there are tables where they name it differently.  forms: the normal form of each key, or one for all:
        "identity/1", "name/1", "pinyin/1".  columns: by table, what a recipient gets of its own rows beside the keys.
        result: "elements", every recipient's own rows whose key is in all, or, of two tables, "size", how many keys
        are, from minimum_group on.  largest: the most rows that a table may have, by table or for each.
        published: of two tables, the other one is published once as tags and kept for the contract: for few own rows
        against very many.  mechanism: the one that must run it, in place of the planner's choice.
        recipients: who learns it, all owners or this organisation, which is what is taken.  purpose, adversary: as for
        `sql`.

        >>> both = client.intersect("bank/clients", "insurer/clients", on="id", forms="identity/1",
        ...                         purpose="joint offers")  # doctest: +SKIP
        >>> print(both.explain())  # doctest: +SKIP
        >>> both.propose(title="Joint clients").wait()  # doctest: +SKIP
        >>> both.run().to_pandas()  # doctest: +SKIP
        """
        spec = specified((first, second, *more), on, forms, columns or {}, result, largest, published, mechanism)
        return Intersection(self.remote, spec, purpose, minimum_group, Arranged(None, recipients, adversary))

    def lookup(
        self,
        table: str,
        *,
        on: str | Sequence[str],
        purpose: str,
        columns: Sequence[str] = (),
        forms: str | Sequence[str] = "exact/1",
        queries: int = 16,
        width: int = 256,
        adversary: str = Adversary.SEMI_HONEST,
    ) -> Lookup:
        """A private lookup in another organisation's table, not yet asked; its owner never learns the keys.

        on: the key columns, which identify a row there.  columns: what the row of a key gives; none: whether there is
        one.  forms: the normal form of each key, or one for all.  queries: the most keys of a run, which always makes
        that many queries.  width: the most bytes of a row's columns, as JSON.  purpose, adversary: as for `sql`.

        >>> listed = client.lookup("registry/sanctions", on="id", forms="identity/1", columns=["reason"],
        ...                        purpose="due diligence")  # doctest: +SKIP
        >>> listed.propose(title="Sanctions", uses=1000).wait()  # doctest: +SKIP
        >>> listed.run(["11010519491231002X"]).to_pandas()  # doctest: +SKIP
        """
        spec = lookup_spec(table, on, columns, forms, queries, width)
        return Lookup(self.remote, spec, purpose, Arranged(None, None, adversary))

    def contracts(self) -> tuple[Agreement, ...]:
        """Every contract that this organisation is a party of."""
        return tuple(Agreement(self.remote, view) for view in self.remote.contracts())

    def contract(self, identifier: str) -> Agreement:
        """One contract by its id."""
        return Agreement(self.remote, self.remote.contract(identifier))

    def jobs(self) -> tuple[JobView, ...]:
        """Every job that this node took part in."""
        return self.remote.jobs()

    def result(self, job: str) -> Result:
        """The released result of an earlier job that this user asked for."""
        view = self.remote.job(job).checked()
        return Result(self.remote, view, self.remote.result(job))

    def export(self, path: str | Path) -> Path:
        """Write the node's history as a bundle that `lingqu verify` checks offline (auditor, owner)."""
        file = Path(path)
        file.write_bytes(self.remote.export())
        return file


class Query(Asked):
    """A SQL query with its purpose: explain it, propose a contract over it, run it."""

    def run(
        self,
        contract: str | Agreement | None = None,
        *,
        progress: Progress | None = None,
        **bindings: Value,
    ) -> Result:
        """Ask, wait for the release, and return it.

        contract: the one to run under; the one in force that covers this query and purpose when not given.
        bindings: values of the open places.  progress: called with every state of the job.
        Raises Refused naming the term that forbids it ("signatures" where there is no contract), PartyLost when an
        organisation's node went away.  Cost: one use of the contract.

        >>> query.run(lo=30).to_polars()  # doctest: +SKIP
        """
        return self.result(contract, bindings, progress)

    def __repr__(self) -> str:
        return f"<Query for {self.purpose!r}:\n{self.program.text}>"

    def _repr_html_(self) -> str:
        return f"<p>Query for <em>{escape(self.purpose)}</em></p><pre>{escape(self.program.text)}</pre>"


class Tables:
    """One table or two joined ones with a purpose, on which an estimator trains.  Made by `Client.tables`.

    on: the key columns by table, as `LogisticRegression.fit` takes them.
    """

    def __init__(
        self,
        remote: Remote,
        tables: Sequence[str],
        on: str | Sequence[str | tuple[str, str]],
        purpose: str,
        contract: str | None,
        minimum_group: int,
        progress: Progress | None,
        arranged: Arranged,
    ) -> None:
        names = [on] if isinstance(on, str) else list(on)
        keys = [(name, name) if isinstance(name, str) else (name[0], name[1]) for name in names]
        if not 1 <= len(tables) <= 2:
            raise BadInput(f"{len(tables)} tables were named.", "Name one table, or two that are joined.")
        self._remote = remote
        self.tables = tuple(tables)
        self.on = {table: [pair[side] for pair in keys] for side, table in enumerate(tables)}
        self.purpose = purpose
        self.contract = contract
        self.minimum_group = minimum_group
        self.progress = progress
        self.arranged = arranged

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __repr__(self) -> str:
        keys = " = ".join(dict.fromkeys(", ".join(names) for names in self.on.values()))
        return f"<Tables {' joined with '.join(self.tables)} on {keys}, for {self.purpose!r}>"

    def asked(self, spec: TrainSpec) -> Training:
        """The training as something to explain, propose and run.

        >>> model = LogisticRegression()
        >>> spec = model.specification(label=..., features=..., on=people.on)  # doctest: +SKIP
        >>> people.asked(spec).propose(title="Who earns more").wait()  # doctest: +SKIP
        """
        return Training(self._remote, spec, self.purpose, self.minimum_group, self.arranged)

    def train(self, spec: TrainSpec) -> ModelRelease:
        """Train under the contract; what an estimator's `fit` calls.

        BadInput when the specification uses other tables or keys.  Otherwise as `Query.run`.
        """
        strange = sorted(set(spec.tables) - set(self.tables))
        if strange:
            raise BadInput(f"{strange[0]} is not among these tables.", f"They are {', '.join(self.tables)}.")
        if any(spec.keys(table) != tuple(self.on[table]) for table in spec.tables):
            raise BadInput("The training joins on other keys than these tables.", "Give `fit` on=tables.on.")
        return self.asked(spec).run(self.contract, progress=self.progress)


class Training(Asked):
    """A training with its purpose: explain it, propose a contract over it, run it."""

    def __init__(self, remote: Remote, spec: TrainSpec, purpose: str, minimum_group: int, arranged: Arranged) -> None:
        super().__init__(
            remote, Program(kind="train", text=spec.canonical().decode()), purpose, minimum_group, arranged
        )
        self.spec = spec

    def run(self, contract: str | Agreement | None = None, *, progress: Progress | None = None) -> ModelRelease:
        """Train and return the released model; as `Query.run`."""
        return self.result(contract, {}, progress).model

    def __repr__(self) -> str:
        return f"<Training of {self.spec.label.column} on {', '.join(self.spec.tables)}, for {self.purpose!r}>"


def limits_of(value: Limits) -> Parameter:
    """A parameter from its short form; BadInput where the limits say nothing."""
    if isinstance(value, Parameter):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        lower, upper = value
        if not isinstance(lower, bool | str) and not isinstance(upper, bool | str):
            return Parameter(lower=lower, upper=upper)
    if isinstance(value, str) or not value:
        raise BadInput(
            f"{value!r} are no limits of a parameter.", "Give a (lower, upper) pair, or a list of permitted values."
        )
    return Parameter(allowed=tuple(value))
