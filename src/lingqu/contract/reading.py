"""The terms as a person reads them before signing."""

from __future__ import annotations

from lingqu.contract.terms import Terms
from lingqu.kinds.programs import Parameter


def render(terms: Terms) -> list[tuple[str, str]]:
    """The terms as (label, text) lines in the order in which a person should read them.

    Every term stands in some line; texts may have several lines of their own.  The titles that parties gave
    themselves stand beside the names by which nodes know them.
    """
    lines = [
        ("Contract", terms.sha256()),
        ("Title", _plain(terms.title)),
        ("Purpose", _plain(terms.purpose)),
        ("Proposed by", _who(terms, terms.proposer)),
        ("Parties", "; ".join(_who(terms, name) for name in terms.names)),
    ]
    if terms.outside:
        lines.append(("Computed by", "; ".join(_who(terms, name) for name in terms.compute)))
        lines.append(("Take part without computing", "; ".join(_who(terms, name) for name in terms.outside)))
    lines += [
        (f"Data of {asset.id.partition('/')[0]}", f"{asset.id}, version {asset.version}: {', '.join(asset.columns)}")
        for asset in terms.assets
    ]
    lines.append((f"Program ({terms.program.kind})", terms.program.text))
    lines += [(f"Parameter {name}", _limits(open_)) for name, open_ in sorted(terms.program.parameters.items())]
    lines.append(("Results go to", "; ".join(_who(terms, name) for name in terms.recipients)))
    for name in terms.names:
        learned = terms.statement.learned.get(name, ())
        facts = "\n".join(f"{item.fact.value}: {item.about} (step {item.step})" for item in learned)
        lines.append((f"What {name} learns", facts or "nothing"))
    lines += [
        ("What nobody learns", "\n".join(terms.statement.withheld) or "not stated"),
        ("Smallest group released", f"{terms.minimum_group} rows"),
        ("Uses", ("1 run" if terms.uses == 1 else f"{terms.uses} runs") + _a_day(terms)),
        ("In force", f"from {terms.not_before} until {terms.expires}, once every party has signed"),
        ("Techniques", ", ".join(terms.techniques)),
        ("Secure against", f"{terms.adversary.value} parties"),
        *([("On this condition", terms.statement.assumes)] if terms.statement.assumes else []),
        ("Plan", terms.plan),
        ("Disclosure statement", terms.statement_digest),
    ]
    return lines


def _a_day(terms: Terms) -> str:
    return "" if terms.daily is None else f", at most {terms.daily} within 24 hours"


def _who(terms: Terms, name: str) -> str:
    party = terms.party(name)
    assert party is not None  # Terms holds names of its parties only
    return f"{_plain(party.title)} ({name})"


def _plain(text: str) -> str:
    """A title without characters that could forge a line of the reading."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


def _limits(parameter: Parameter) -> str:
    if parameter.allowed is not None:
        return "one of " + ", ".join(str(value) for value in parameter.allowed)
    return f"from {parameter.lower} to {parameter.upper}"
