"""Users and roles in the database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rtbuild_security_manager.accounts import Accounts
from rtbuild_security_manager.errors import Refused
from rtbuild_security_manager.tokens import Identity
from sqlalchemy import event
from sqlalchemy.dialects import postgresql

from tests.unit.recipes.security_manager.database import Database, Role, User

ADA = Identity(
    subject="ada", email="ada@mail.example", first_name="Ada", last_name="King", roles=frozenset({"Viewer", "User"})
)


def with_roles(*names: str) -> Identity:
    return replace(ADA, roles=frozenset(names))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "airflow.db")


@pytest.fixture
def session(database: Database) -> Iterator[Any]:
    with database.make_session() as session:
        yield session


@pytest.fixture
def accounts(session: Any) -> Accounts:
    return Accounts(session, user_model=User, role_model=Role)


def bring(accounts: Accounts, identity: Identity = ADA, *, begins_session: bool = False) -> tuple[Any, list[str]]:
    """The user, and the names of the roles that count."""
    record, roles = accounts.bring_in_line(identity, accounts.find(identity), begins_session=begins_session)
    return record, sorted(role.name for role in roles)


def test_the_first_token_creates_its_user(accounts: Accounts, database: Database) -> None:
    assert accounts.find(ADA) is None
    assert bring(accounts)[1] == ["User", "Viewer"]
    with database.session() as session:
        user = session.query(User).one()
        assert (user.username, user.email, user.first_name, user.last_name) == (
            "ada",
            "ada@mail.example",
            "Ada",
            "King",
        )
        assert (user.active, user.login_count, user.fail_login_count) == (True, 1, 0)
        assert user.last_login is not None
    assert database.roles() == ["User", "Viewer"]


def test_a_later_token_updates_its_user(accounts: Accounts, database: Database) -> None:
    bring(accounts)
    bring(accounts, replace(ADA, email="new@mail.example", first_name="Grace", last_name="Hopper"))
    with database.session() as session:
        user = session.query(User).one()
        assert (user.email, user.first_name, user.last_name) == ("new@mail.example", "Grace", "Hopper")
        assert user.login_count == 1, "the session goes on"


def test_nothing_is_written_if_nothing_is_new(
    accounts: Accounts, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    bring(accounts)
    written: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("SELECT"):
            written.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            bring(accounts)
    assert (written, caplog.messages) == ([], [])


def test_a_session_that_begins_is_counted(accounts: Accounts, database: Database) -> None:
    bring(accounts)
    with database.session() as session:
        user = session.query(User).one()
        user.login_count, user.last_login = None, None
    accounts.rollback()
    for count in (1, 2):
        bring(accounts, begins_session=True)
        with database.session() as session:
            user = session.query(User).one()
            assert user.login_count == count
            assert user.last_login is not None


@pytest.mark.parametrize("given", [("Admin",), ("Viewer",), ("Public", "User")])
def test_roles_follow_the_token_and_custom_ones_are_kept(
    accounts: Accounts, database: Database, given: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    bring(accounts)
    database.give("Finance", "Op")
    accounts.rollback()
    with caplog.at_level(logging.INFO):
        assert bring(accounts, with_roles(*given))[1] == sorted(["Finance", *given])
    assert database.roles() == sorted(["Finance", *given])
    assert [record.message for record in caplog.records] == ["Roles of user 1 changed"]


def test_what_counts_is_the_token_whatever_is_recorded_a_moment_later(accounts: Accounts, database: Database) -> None:
    """As soon as the user is written, a request with another token writes other roles."""
    bring(accounts)
    with database.make_session() as others, database.make_session() as session:
        mine = Accounts(session, user_model=User, role_model=Role)
        event.listen(session, "after_commit", lambda _: bring(Accounts(others, user_model=User, role_model=Role)))
        record, roles = mine.bring_in_line(with_roles("Admin"), mine.find(ADA), begins_session=False)
        assert [role.name for role in roles] == ["Admin"]
        assert sorted(role.name for role in record.roles) == ["User", "Viewer"], "the record is another one's by now"


def test_the_permissions_of_a_role_are_read_when_they_are_wanted(accounts: Accounts, session: Any) -> None:
    _, roles = accounts.bring_in_line(with_roles("Op"), None, begins_session=False)
    session.close()  # as Airflow does in the middle of a request
    (role,) = roles
    assert role.permissions == [("can_read", "what Op reads")]
    assert str(role) == "Op"
    assert (role.id, role.name) == (session.query(Role).filter_by(name="Op").one().id, "Op")


def test_a_deactivated_user_stays_out(accounts: Accounts, database: Database) -> None:
    bring(accounts)
    with database.session() as session:
        session.query(User).one().active = False
    accounts.rollback()
    with pytest.raises(Refused, match="deactivated"):
        bring(accounts, with_roles("Admin"), begins_session=True)
    with pytest.raises(Refused, match="deactivated"):
        bring(accounts)
    assert database.roles() == ["User", "Viewer"]


def test_names_that_differ_in_case_are_not_the_same(accounts: Accounts, database: Database) -> None:
    bring(accounts, replace(ADA, subject="Ada"))
    with pytest.raises(Refused, match="only in case"):
        accounts.find(ADA)
    with database.session() as session:
        session.add(User(username="ada", email="other", first_name="", last_name="", active=True))
    accounts.rollback()
    for name in ("ada", "Ada"):
        assert bring(accounts, replace(ADA, subject=name, email=f"{name}@other.example"))[0].username == name


def test_an_address_of_another_user_is_refused(accounts: Accounts, database: Database) -> None:
    bring(accounts)
    with pytest.raises(Refused, match="belong to another one"):
        bring(accounts, replace(ADA, subject="thief"))
    bring(accounts, replace(ADA, subject="bob", email="bob@mail.example"))
    with pytest.raises(Refused, match="belong to another one"):
        bring(accounts, replace(ADA, subject="bob"))
    with database.session() as session:
        assert {user.username: user.email for user in session.query(User)} == {
            "ada": "ada@mail.example",
            "bob": "bob@mail.example",
        }


@pytest.mark.parametrize(
    ("changes", "named"), [({"subject": "a" * 65}, "username"), ({"email": "a" * 65}, "email")], ids=str
)
def test_what_the_database_cannot_hold_is_refused(
    accounts: Accounts, session: Any, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(Refused, match=f"the {named} of the token is longer"):
        bring(accounts, replace(ADA, **changes))
    assert session.query(User).count() == 0
    assert bring(accounts, replace(ADA, **{name: text[1:] for name, text in changes.items()}))


def test_long_names_are_cut(accounts: Accounts) -> None:
    record, _ = bring(accounts, replace(ADA, first_name="a" * 65, last_name="b" * 65))
    assert (record.first_name, record.last_name) == ("a" * 64, "b" * 64)


def test_a_refused_change_leaves_nothing_behind(accounts: Accounts, session: Any, database: Database) -> None:
    """Airflow commits the session of the request for other reasons, such as an entry in the audit log."""
    bring(accounts)
    with database.session() as other:
        other.query(Role).filter_by(name="Op").one().name = "Lost"
    with pytest.raises(Refused, match="sync-perm"):
        bring(accounts, replace(with_roles("Op"), email="new@mail.example"))
    session.commit()
    with database.session() as other:
        assert other.query(User).one().email == "ada@mail.example"
    assert database.roles() == ["User", "Viewer"]


def test_a_user_who_was_created_a_moment_before(accounts: Accounts, database: Database) -> None:
    with database.make_session() as session:
        bring(Accounts(session, user_model=User, role_model=Role), with_roles("Admin"))
    record, roles = accounts.bring_in_line(ADA, None, begins_session=False)
    assert record.username == "ada"
    assert sorted(role.name for role in roles) == ["User", "Viewer"]
    assert database.roles() == ["User", "Viewer"]


def test_a_user_who_was_deleted_a_moment_before_is_created_anew(accounts: Accounts, database: Database) -> None:
    bring(accounts)
    found: Any = accounts.find(ADA)
    accounts.rollback()
    with database.session() as session:
        session.delete(session.query(User).one())
    record, _ = accounts.bring_in_line(with_roles("Admin"), found, begins_session=False)
    assert record.username == "ada"
    assert database.roles() == ["Admin"]


def test_changes_of_other_requests_are_not_undone_by_a_change_of_roles(database: Database) -> None:
    """Between the look at the user and the change of the roles, an administrator gives one and takes one."""
    session = database.make_session(expire_on_commit=False)  # as Airflow's
    accounts = Accounts(session, user_model=User, role_model=Role)
    bring(accounts)
    found: Any = accounts.find(ADA)
    assert sorted(role.name for role in found.roles) == ["User", "Viewer"]
    session.commit()
    database.give("Finance", "Admin")
    _, roles = accounts.bring_in_line(with_roles("Op"), found, begins_session=False)
    assert sorted(role.name for role in roles) == ["Finance", "Op"]
    assert database.roles() == ["Finance", "Op"]


def test_a_change_of_roles_locks_the_user_in_a_new_transaction(
    accounts: Accounts, session: Any, database: Database
) -> None:
    """SQLite has no such locks, but other databases do."""
    bring(accounts)
    done: list[str] = []

    def note(state: Any) -> None:
        done.append(str(state.statement.compile(dialect=postgresql.dialect())))

    found = accounts.find(ADA)
    event.listen(session, "do_orm_execute", note)
    event.listen(database.engine, "rollback", lambda _: done.append("rollback"))
    accounts.bring_in_line(ADA, found, begins_session=True)
    assert not any("FOR UPDATE" in statement for statement in done), "only if roles change"
    del done[:]
    accounts.bring_in_line(with_roles("Admin"), accounts.find(ADA), begins_session=False)
    (locked,) = [number for number, statement in enumerate(done) if statement.rstrip().endswith("FOR UPDATE")]
    assert done[locked - 1] == "rollback"
    assert any("ab_role" in statement for statement in done[locked + 1 :]), "what the roles are is read after that"


@pytest.mark.parametrize("first", [False, True], ids=["changes", "first requests"])
def test_many_requests_at_once(database: Database, first: bool) -> None:
    """Each gets the roles of its own token, and none disturbs another one."""
    identities: list[Callable[[], Identity]] = [lambda: with_roles("Viewer"), lambda: with_roles("Admin", "Op")]

    def request(number: int) -> list[str]:
        with database.make_session() as session:
            return bring(Accounts(session, user_model=User, role_model=Role), identities[number % 2]())[1]

    if not first:
        request(0)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(request, range(8 if first else 64)))
    assert found == [["Viewer"], ["Admin", "Op"]] * (len(found) // 2)
    assert database.roles() in (["Viewer"], ["Admin", "Op"])
