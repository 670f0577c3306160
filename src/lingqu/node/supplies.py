"""Correlations made ahead at one node, for runs of contracts in force: while no job runs, with one peer at a time.

The first compute party leads.  Both compare what they hold (what only one has is worthless), then make what lacks in
workers of low priority: the leader's names of portions, which both check, each asking its own node before every
portion.  A job ends that at once.  A job's nodes agree on the portions that it uses before its workers connect.
To the peer, who is a party of the contract, this tells when a node is idle and what it holds; to nobody else anything.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

from lingqu.contract import State
from lingqu.engine.mechanism import mechanism_of
from lingqu.engine.supervisor import Supervisor
from lingqu.engine.supplies import supplier, work_of
from lingqu.kinds.errors import LingquError, PartyLost, ProtocolViolation, Refused, Unavailable
from lingqu.node import messages as m
from lingqu.node.contracts import Contracts, Standing
from lingqu.node.core import Core, require_parties
from lingqu.node.errors import Conflict, NotFound
from lingqu.node.replies import SupplyView
from lingqu.node.run import worker_line
from lingqu.node.shelf import FIRST_PAUSE, Making, Shelf
from lingqu.node.transport import Transport

LOG = logging.getLogger("lingqu.node.supplies")
READY_SECONDS = 120.0
"""Until a worker of the lowest priority listens, on a machine that has other work."""
OFFER_SECONDS = READY_SECONDS + 10
IDLE_SECONDS = 30.0
"""Between looks at the contracts when nothing has happened."""
LONGEST_PAUSE = 120.0
MOST = 64
"""Portions of one contract."""
COMPARING = "supplies"
"""What exchanges before a session are about."""
OVER = frozenset({State.REVOKED, State.REJECTED, State.EXPIRED, State.USED_UP})


class Supplies:
    """busy: whether jobs run at this node."""

    def __init__(
        self,
        core: Core,
        contracts: Contracts,
        transport: Transport,
        supervisor: Supervisor,
        busy: Callable[[], bool],
    ) -> None:
        self._core = core
        self._contracts = contracts
        self._transport = transport
        self._supervisor = supervisor
        self._busy = busy
        self._lock = threading.RLock()
        self._shelves: dict[str, Shelf | None] = {}
        self._reserved: dict[str, tuple[str, ...]] = {}
        self._making: Making | None = None
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="supplies", daemon=True)

    @property
    def core(self) -> Core:
        """This node."""
        return self._core

    def start(self) -> None:
        """Begin to make what lacks."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is made stays."""
        self._closing = True
        self._wake.set()
        self.pause()
        self._transport.break_off(COMPARING)
        if self._thread.is_alive():
            self._thread.join()

    def changed(self, contract: str) -> None:
        """A contract was signed or revoked, or a run of it ended: look again, soon."""
        with self._lock:
            shelf = self._shelves.get(contract)
            if shelf is not None:
                shelf.sure, shelf.rest_until, shelf.pause = False, 0.0, FIRST_PAUSE
        self._wake.set()

    def pause(self) -> None:
        """A job wants the machine: end what is being made; the portions that are there stay."""
        with self._lock:
            making = self._making
        if making is not None:
            making.paused = True
            self._transport.break_off(making.preparation)
            if making.worker is not None:
                making.worker.kill()

    # A job's portions

    def folder(self, contract: str) -> Path:
        """Where a contract's portions lie."""
        return self._core.home.supplies / contract.removeprefix("sha256:")

    def reserve(self, job: str, contract: str) -> tuple[str, ...]:
        """Keep the fullest run's portions that no other job has for this job; their names."""
        with self._lock:
            if job not in self._reserved:
                shelf = self._shelf(contract) if self._core.config.supplies.runs else None
                taken = {name for names in self._reserved.values() for name in names}
                runs = {} if shelf is None else shelf.runs([name for name in shelf.held() if name not in taken])
                best = min(runs, key=lambda run: (-len(runs[run]), run), default=None)
                self._reserved[job] = tuple(runs[best]) if best is not None else ()
            return self._reserved[job]

    def agree(self, job: str, prepared: tuple[str, ...]) -> tuple[str, ...]:
        """Of the portions that every party is said to hold, those kept for this job here; the others are let go."""
        with self._lock:
            kept = tuple(name for name in self._reserved.get(job, ()) if name in prepared)
            self._reserved[job] = kept
        return kept

    def release(self, job: str, contract: str) -> None:
        """A job has ended: what it did not use is free."""
        with self._lock:
            self._reserved.pop(job, None)
        self.changed(contract)

    # The peer's side

    def compare(self, peer: str, theirs: m.SuppliesHeld) -> m.SuppliesHeld:
        """The leader says what it holds: drop what it has not, and say what is held here."""
        shelf = self._led_by(peer, theirs.contract, theirs.plan)
        self._reconcile(shelf, theirs.held)
        return self._held(shelf)

    def offered(self, peer: str, offer: m.PrepareOffer) -> m.PrepareReady:
        """The leader's worker waits: start one here that makes the same portions with it."""
        shelf = self._led_by(peer, offer.contract, offer.plan)
        need = sum(shelf.size(name) for name in offer.names)
        held = shelf.held()
        if len(set(offer.names) | set(held)) != len(offer.names) + len(held) or len(offer.names) + len(held) > MOST:
            raise Conflict("These portions are held already, or too many.", "Compare first.")
        if need > self._room():
            raise Unavailable(
                f"{self._core.name} has no room for {need} bytes of correlations.",
                "Raise supplies.bytes in its config.toml, or free its disk.",
                party=self._core.name,
            )
        making = self._begin(shelf, peer, offer.names, offer.preparation)
        assert making.worker is not None
        own = self._endpoint(making)
        making.worker.start([offer.endpoint, own], offer.names)
        return m.PrepareReady(preparation=offer.preparation, endpoint=own)

    def allow(self, making: Making, name: str) -> None:
        """May a portion be made?  Only under a contract in force, while nothing else runs, where there is room."""
        if self._busy() or self._closing:
            raise Unavailable(f"{self._core.name} has other work.", "It goes on later.", party=self._core.name)
        self._in_force(making.shelf.contract)
        if making.shelf.size(name) > self._room():
            raise Unavailable(
                f"{self._core.name} has no room for more correlations.",
                "Raise supplies.bytes in its config.toml, or free its disk.",
                party=self._core.name,
            )

    def made(self, making: Making) -> None:
        """A session has ended."""
        with self._lock:
            if self._making is making:
                self._making = None
        if making.paused:
            making.error = Unavailable("A job came first.", "It goes on when none runs.", party=self._core.name)
        if making.error is not None:
            making.shelf.sure = False
            making.shelf.cause = making.error.cause
            LOG.info("%s: no more portions made with %s: %s", making.shelf.contract, making.peer, making.error)
        else:
            making.shelf.cause = ""
        making.over.set()

    # For people

    def all(self) -> tuple[SupplyView, ...]:
        """How it stands with every contract whose correlations this node makes."""
        found = []
        for contract, standing in self._contracts.all():
            shelf = self._shelf(contract, standing)
            if shelf is not None:
                found.append(self._view(shelf, standing))
        return tuple(found)

    def _view(self, shelf: Shelf, standing: Standing) -> SupplyView:
        held, wanted = shelf.held(), self._wanted(standing)
        full = sum(len(names) == len(shelf.sizes) for names in shelf.runs(held).values())
        making = self._making is not None and self._making.shelf is shelf
        ready = "ready" if full >= wanted else "waiting"
        off = not self._core.config.supplies.runs
        return SupplyView(
            contract=shelf.contract,
            title=standing.terms.title,
            mechanism=mechanism_of(shelf.plan),
            state="off" if off else "making" if making else ready,
            runs=full,
            wanted=wanted,
            portions=len(held),
            portions_wanted=wanted * len(shelf.sizes),
            bytes=sum(held.values()),
            bytes_wanted=wanted * sum(shelf.sizes),
            cause=shelf.cause if ready == "waiting" and not making else "",
        )

    # The leader's side

    def _work(self) -> None:
        while not self._closing:
            rest = IDLE_SECONDS
            try:
                self._sweep()
                rest = self._round()
            except Exception:
                LOG.exception("supplies")
            self._wake.wait(rest)
            self._wake.clear()

    def _round(self) -> float:
        """Try every contract that lacks something; seconds until it is worth while to try again."""
        if not self._core.config.supplies.runs:
            return IDLE_SECONDS
        rest = IDLE_SECONDS
        for contract, standing in self._contracts.all():
            if self._closing or self._busy():
                break
            shelf = self._shelf(contract, standing)
            if shelf is None or shelf.plan.parties[0] != self._core.name or standing.state is not State.IN_FORCE:
                continue
            now = time.monotonic()
            if shelf.rest_until > now:
                rest = min(rest, shelf.rest_until - now)
            elif not shelf.sure or self._missing(shelf, standing, shelf.held()):
                rest = min(rest, self._try(shelf, standing))
        return max(rest, 0.05)

    def _try(self, shelf: Shelf, standing: Standing) -> float:
        try:
            made = self._lead(shelf, standing)
        except LingquError as error:
            shelf.cause = error.cause
            LOG.info("%s: correlations are not made ahead: %s", shelf.contract, error)
            # Two nodes that lead for each other at the same time should not meet again.
            pause = shelf.pause * (1 + secrets.randbelow(1000) / 1000)
            shelf.rest_until = time.monotonic() + pause
            shelf.pause = min(2 * shelf.pause, LONGEST_PAUSE)
            return pause
        shelf.pause = FIRST_PAUSE
        # Portions take less than they were given room for, so more may fit now.
        return 0.0 if made else IDLE_SECONDS

    def _lead(self, shelf: Shelf, standing: Standing) -> bool:
        """Compare with the peer, and make what lacks of the runs that are wanted, as far as both have room.

        Returns whether there was anything to make.
        """
        peer = shelf.plan.parties[1]
        answer = self._transport.send(peer, self._held(shelf), about=COMPARING)
        if not isinstance(answer, m.SuppliesHeld) or answer.contract != shelf.contract:
            raise ProtocolViolation(f"{peer} answered with something else.", "Ask its manager.", party=peer)
        self._reconcile(shelf, answer.held)
        held = shelf.held()
        shelf.sure = held.keys() <= set(answer.held)
        names, full = self._fitting(shelf, self._missing(shelf, standing, held), min(self._room(), answer.room))
        if not names:
            shelf.cause = full
            return False
        preparation = secrets.token_hex(16)
        making = self._begin(shelf, peer, names, preparation)
        assert making.worker is not None
        try:
            own = self._endpoint(making)
            offer = m.PrepareOffer(
                preparation=preparation, contract=shelf.contract, plan=shelf.plan.sha256(), names=names, endpoint=own
            )
            ready = self._transport.send(peer, offer, OFFER_SECONDS, about=preparation)
            if not isinstance(ready, m.PrepareReady):
                raise ProtocolViolation(f"{peer} answered with something else.", "Ask its manager.", party=peer)
            making.worker.start([own, ready.endpoint], names)
        except BaseException:
            making.worker.kill()
            raise
        finally:
            making.over.wait()
        if making.error is not None:
            raise making.error
        shelf.cause = full
        return True

    def _missing(self, shelf: Shelf, standing: Standing, held: Mapping[str, int]) -> list[str]:
        """Names of the portions that lack, unfinished runs first."""
        count, runs = len(shelf.sizes), shelf.runs(held)
        lacking: list[str] = []
        for run, names in runs.items():
            lacking += [name for name in shelf.source.names(count, run) if name not in names]
        for _ in range(self._wanted(standing) - len(runs)):
            lacking += shelf.source.names(count)
        return lacking

    def _fitting(self, shelf: Shelf, names: list[str], room: int) -> tuple[tuple[str, ...], str]:
        """The portions that there is room for, and why not the others; empty where all fit."""
        fitting: list[str] = []
        for name in names[: max(0, MOST - len(shelf.held()))]:
            room -= shelf.size(name)
            if room < 0:
                return tuple(fitting), "There is no room for more (supplies.bytes, supplies.free), here or at the peer."
            fitting.append(name)
        return tuple(fitting), ""

    def _wanted(self, standing: Standing) -> int:
        """Runs to hold: as many as configured, no more than the contract still allows."""
        left = standing.terms.uses - standing.spent - standing.reserved
        return max(0, min(self._core.config.supplies.runs, left)) if standing.state not in OVER else 0

    # Both sides

    def _begin(self, shelf: Shelf, peer: str, names: tuple[str, ...], preparation: str) -> Making:
        making = Making(self, shelf, peer, names, preparation)
        with self._lock:
            if self._making is not None or self._busy() or self._closing:
                raise Unavailable(f"{self._core.name} has other work.", "It goes on later.", party=self._core.name)
            self._making = making
        try:
            line = worker_line(
                self._core,
                shelf.plan,
                shelf.plan.parties,
                preparation,
                shelf.folder,
                tables={},
                bindings={},
                kept=str(shelf.folder),
                supplies=str(shelf.folder),
                making=True,
            )
            making.worker = self._supervisor.spawn(line, making)
        except BaseException:
            self.made(making)
            raise
        if self._busy() or self._closing:  # a job came meanwhile
            self.pause()
        return making

    def _endpoint(self, making: Making) -> str:
        assert making.worker is not None
        try:
            return making.endpoint.result(READY_SECONDS)
        except FutureTimeout:
            making.worker.kill()
            raise PartyLost(
                f"The worker of {self._core.name} did not start within {READY_SECONDS:g} s.",
                "Look at its log; the machine may be overloaded.",
                party=self._core.name,
            ) from None

    def _held(self, shelf: Shelf) -> m.SuppliesHeld:
        names = tuple(list(shelf.held())[:MOST])
        return m.SuppliesHeld(contract=shelf.contract, plan=shelf.plan.sha256(), held=names, room=self._room())

    def _reconcile(self, shelf: Shelf, theirs: tuple[str, ...]) -> None:
        """Drop what the peer has not, unless a job or a session has it in its hands."""
        with self._lock:
            if self._making is not None and self._making.shelf is shelf:
                return
            kept = {name for names in self._reserved.values() for name in names} | set(theirs)
            shelf.source.drop(shelf.folder, [name for name in shelf.held() if name not in kept])

    def _room(self) -> int:
        """Bytes that may still be made, of what is configured and of what the disk has."""
        config, root = self._core.config.supplies, self._core.home.supplies
        used = 0
        for path in root.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                used += path.stat().st_size
        disk = shutil.disk_usage(self._core.home.path).free - config.free
        return max(0, min(config.bytes - used, disk))

    def _led_by(self, peer: str, contract: str, plan: str) -> Shelf:
        """The shelf of a contract in force whose first compute party is the peer and whose second is this node."""
        if not self._core.config.supplies.runs:
            raise Unavailable(
                f"{self._core.name} makes no correlations ahead.", "Set supplies.runs.", party=self._core.name
            )
        shelf = self._shelf(contract)
        if shelf is None or shelf.plan.parties != (peer, self._core.name):
            raise Refused(
                f"{peer} does not lead in making correlations for that contract.",
                "The first compute party does.",
                term="parties",
            )
        if plan != shelf.plan.sha256():
            raise Refused(
                f"{peer} would make correlations for another plan.", "Use the same version of lingqu.", term="plan"
            )
        self._in_force(contract)
        return shelf

    def _in_force(self, contract: str) -> None:
        standing = self._contracts.standing(contract)
        require_parties(self._core, standing.terms.parties)
        if standing.state is not State.IN_FORCE:
            raise Refused(
                f"Contract {contract} is {standing.state.value}.",
                "Correlations are made for contracts in force only.",
                term="signatures",
            )

    def _shelf(self, contract: str, standing: Standing | None = None) -> Shelf | None:
        """A contract's shelf; None where nothing is made ahead for it, or not at this node."""
        with self._lock:
            if contract in self._shelves:
                return self._shelves[contract]
        standing = standing or self._contracts.standing(contract)
        if standing.state is not State.IN_FORCE and not standing.reserved:
            return None  # it may come into force, or nothing is to be made any more
        shelf = self._made_for(contract, standing)
        with self._lock:
            return self._shelves.setdefault(contract, shelf)

    def _made_for(self, contract: str, standing: Standing) -> Shelf | None:
        try:
            plan = self._contracts.recompile(standing.terms)
            if plan.sha256() != standing.terms.plan or self._core.name not in plan.parties or len(plan.parties) != 2:
                return None
            source = supplier(mechanism_of(plan))
            sizes = tuple(source.portions(work_of(plan))) if source is not None else ()
        except LingquError as error:
            LOG.warning("%s: no correlations can be made ahead: %s", contract, error)
            return None
        return Shelf(contract, plan, source, sizes, self.folder(contract)) if source is not None and sizes else None

    def _sweep(self) -> None:
        """Remove what no run can use any more."""
        for folder in self._core.home.supplies.glob("*"):
            contract = f"sha256:{folder.name}"
            try:
                standing = self._contracts.standing(contract)
                over = standing.state in OVER and not (standing.state is State.USED_UP and standing.reserved)
            except NotFound:
                over = True
            making = self._making
            if (over or not self._core.config.supplies.runs) and not (making and making.shelf.contract == contract):
                shutil.rmtree(folder, ignore_errors=True)
                with self._lock:
                    self._shelves.pop(contract, None)
