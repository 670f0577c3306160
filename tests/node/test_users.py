"""Passwords, tokens, roles, and the door that closes after wrong guesses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.parties import Role
from lingqu.node.errors import Conflict, Unauthenticated
from lingqu.node.store import Store
from lingqu.node.store.models import Token, User
from lingqu.node.users import FAILURES, Identified, Users

PASSWORD = "correct horse battery"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'lingqu.db'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def users(store: Store) -> Users:
    found = Users(store)
    found.create("li", Role.ANALYST, PASSWORD)
    return found


def test_a_login_gives_a_token_that_identifies(users: Users, store: Store) -> None:
    login = users.login("li", PASSWORD)
    assert login.role is Role.ANALYST
    assert users.identify(login.token) == Identified("li", Role.ANALYST)
    assert login.token not in repr(login)
    with store.read() as session:
        assert session.scalars(select(User.password)).one().startswith("$argon2id$")
        assert login.token not in session.scalars(select(Token.digest)).all()


def test_wrong_names_passwords_and_tokens_say_nothing(users: Users) -> None:
    with pytest.raises(Unauthenticated) as wrong_password:
        users.login("li", "wrong password!")
    with pytest.raises(Unauthenticated) as wrong_name:
        users.login("nobody", PASSWORD)
    assert wrong_password.value.document() == wrong_name.value.document()
    with pytest.raises(Unauthenticated, match="not known"):
        users.identify("\udcff guess")


def test_a_token_expires(users: Users, store: Store) -> None:
    login = users.login("li", PASSWORD)
    with store.write() as session:
        session.execute(update(Token).values(expires="2020-01-01T00:00:00Z"))
    with pytest.raises(Unauthenticated, match=re.escape("expired at 2020-01-01T00:00:00Z")):
        users.identify(login.token)


def test_the_door_closes_after_wrong_guesses(users: Users) -> None:
    users._hasher = type("Never", (), {"verify": staticmethod(_never)})()
    for _ in range(FAILURES):
        with pytest.raises(Unauthenticated):
            users.login("li", "guess guess guess")
    with pytest.raises(Refused) as closed:
        users.login("li", PASSWORD)
    assert closed.value.term == "login-rate"


def _never(_hashed: str, _password: str) -> None:
    from argon2.exceptions import VerifyMismatchError

    raise VerifyMismatchError


def test_users_need_a_name_and_a_long_password_of_their_own(users: Users) -> None:
    for name, password in [("li wei", PASSWORD), ("", PASSWORD), ("wang", "short")]:
        with pytest.raises(BadInput):
            users.create(name, Role.OWNER, password)
    with pytest.raises(Conflict):
        users.create("li", Role.OWNER, PASSWORD)
