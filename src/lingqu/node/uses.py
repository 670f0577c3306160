"""How many runs of a contract lie within a day."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from lingqu.kinds import clock
from lingqu.node.store.models import Job, Use, UseState


def recent(session: Session, contract: str, without: str | None = None) -> int:
    """Runs that this node admitted within the last 24 hours and that spent a use or hold one.

    without: a job to leave out.
    """
    counted = select(Job.created).join(Use, Use.job == Job.id).where(Use.contract == contract)
    created = session.scalars(counted.where(Use.state != UseState.FREED.value, Use.job != (without or ""))).all()
    since = clock.read(clock.now()) - timedelta(days=1)
    return sum(clock.read(moment) > since for moment in created)
