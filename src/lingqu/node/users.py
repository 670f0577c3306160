"""The node's people: passwords, tokens, roles."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import delete

from lingqu.kinds import clock
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.parties import Role
from lingqu.node.errors import Conflict, NotFound, Unauthenticated
from lingqu.node.store import Store
from lingqu.node.store.models import Token, User

LOGIN_HOURS = 12
LOCAL_DAYS = 365
FAILURES = 5  # wrong passwords of one user ...
WINDOW_SECONDS = 60.0  # ... within this time close the door for the rest of it
NAMES = 1000  # whose failures are remembered before old ones are cleared
MINIMUM_PASSWORD = 10
_NAME = re.compile(r"[\w.@-]{1,64}")


@dataclass(frozen=True)
class Login:
    """A fresh token, shown once."""

    token: str
    role: Role
    expires: str

    def __repr__(self) -> str:
        return f"Login(role={self.role.value}, expires={self.expires})"


@dataclass(frozen=True)
class Identified:
    """Who asks."""

    name: str
    role: Role


class Users:
    """Users of one node.  Passwords are kept as argon2id hashes, tokens as SHA-256 digests."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hasher = PasswordHasher()
        self._failures: dict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    @cached_property
    def _absent(self) -> str:
        """A hash that no password fits, so that unknown names take as long."""
        return self._hasher.hash(secrets.token_urlsafe(16))

    def create(self, name: str, role: Role, password: str) -> None:
        """Add a user; BadInput for a bad name or short password, Conflict when the name is taken."""
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name!r} cannot be a user's name.", "Use letters, digits and . @ - _, at most 64.")
        if len(password) < MINIMUM_PASSWORD:
            raise BadInput("The password is too short.", f"Use at least {MINIMUM_PASSWORD} characters.")
        hashed = self._hasher.hash(password)
        with self._store.write() as session:
            if session.get(User, name) is not None:
                raise Conflict(f"There is a user {name} already.", "Choose another name.")
            session.add(User(name=name, role=role.value, password=hashed, created=clock.now()))

    def login(self, name: str, password: str) -> Login:
        """Check a password and issue a token; Unauthenticated without saying which of the two was wrong."""
        with self._lock:
            if len(self._failures) > NAMES:  # guesses at names do not fill the memory
                old = time.monotonic() - WINDOW_SECONDS
                for stale in [key for key, times in self._failures.items() if not times or times[-1] < old]:
                    del self._failures[stale]
            recent = self._failures[name[:64]]
            while recent and recent[0] < time.monotonic() - WINDOW_SECONDS:
                recent.popleft()
            if len(recent) >= FAILURES:
                raise Refused(
                    f"There were {FAILURES} wrong passwords for this user within a minute.",
                    "Wait a minute, then try again.",
                    term="login-rate",
                )
            recent.append(time.monotonic())  # counted before the slow check, so that a parallel guess counts too
        with self._store.read() as session:
            user = session.get(User, name)
        try:
            self._hasher.verify(user.password if user else self._absent, password)
        except (Argon2Error, InvalidHashError):
            user = None
        if user is None:
            raise Unauthenticated("The user or the password is wrong.", "Check both.", term="login")
        with self._lock:
            self._failures.pop(name[:64], None)
        return self.issue(name, hours=LOGIN_HOURS)

    def issue(self, name: str, *, hours: int = 0, days: int = 0) -> Login:
        """A token for a user that ends after the given time."""
        token = secrets.token_urlsafe(32)
        moment = clock.read(clock.now())
        expires = clock.written(moment + timedelta(hours=hours, days=days))
        with self._store.write() as session:
            user = session.get(User, name)
            if user is None:
                raise NotFound(f"There is no user {name}.", "Create it first.")
            session.execute(delete(Token).where(Token.expires < clock.written(moment)))
            session.add(Token(digest=_digest(token), user=name, created=clock.written(moment), expires=expires))
            return Login(token, Role(user.role), expires)

    def identify(self, token: str) -> Identified:
        """Who a token belongs to; Unauthenticated when nobody, or when it has expired."""
        with self._store.read() as session:
            found = session.get(Token, _digest(token))  # a lookup by hash leaks nothing usable about the token
            user = session.get(User, found.user) if found else None
        if found is None or user is None:
            raise Unauthenticated("This token is not known here.", "Log in again.", term="token")
        if found.expires < clock.now():
            raise Unauthenticated(f"This token expired at {found.expires}.", "Log in again.", term="token")
        return Identified(user.name, Role(user.role))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
