"""Users and roles in a database file, of models with the columns and the constraints that those of Airflow have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtbuild_security_manager.roles import MANAGED_ROLES
from sqlalchemy import Boolean, Column, DateTime, ForeignKey, Integer, String, Table, UniqueConstraint, create_engine
from sqlalchemy.orm import declarative_base, relationship, sessionmaker
from sqlalchemy.pool import NullPool

Model: Any = declarative_base()

USER_ROLES = Table(
    "ab_user_role",
    Model.metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", Integer, ForeignKey("ab_user.id")),
    Column("role_id", Integer, ForeignKey("ab_role.id")),
    UniqueConstraint("user_id", "role_id"),
)


class Role(Model):  # type: ignore[misc]
    __tablename__ = "ab_role"
    id = Column(Integer, primary_key=True)
    name = Column(String(64), unique=True, nullable=False)

    @property
    def permissions(self) -> list[tuple[str, str]]:
        return [("can_read", f"what {self.name} reads")]


class User(Model):  # type: ignore[misc]
    __tablename__ = "ab_user"
    id = Column(Integer, primary_key=True)
    first_name = Column(String(64), nullable=False)
    last_name = Column(String(64), nullable=False)
    username = Column(String(64), unique=True, nullable=False)
    email = Column(String(64), unique=True, nullable=False)
    active = Column(Boolean)
    last_login = Column(DateTime)
    login_count = Column(Integer)
    fail_login_count = Column(Integer)
    created_on = Column(DateTime)
    changed_on = Column(DateTime)
    roles = relationship(Role, secondary=USER_ROLES, backref="user")

    @property
    def is_active(self) -> bool:
        return bool(self.active)


class Database:
    """A database with Airflow's roles, a role `Finance` of the administrators, and no user."""

    def __init__(self, file: Path) -> None:
        self.engine = create_engine(f"sqlite:///{file}", poolclass=NullPool, connect_args={"timeout": 60})
        self.make_session: Any = sessionmaker(bind=self.engine)
        Model.metadata.create_all(self.engine)
        with self.session() as session:
            session.add_all(Role(name=name) for name in (*sorted(MANAGED_ROLES), "Finance"))

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A session of somebody else, whose changes are written when the block ends."""
        with self.make_session() as session, session.begin():
            yield session

    def roles(self, name: str = "ada") -> list[str]:
        """The names of the roles that are recorded for a user."""
        with self.session() as session:
            return sorted(role.name for role in session.query(User).filter_by(username=name).one().roles)

    def give(self, *names: str, user: str = "ada") -> None:
        """Record these roles for a user, and no others."""
        with self.session() as session:
            found = session.query(Role).filter(Role.name.in_(names)).all()
            assert len(found) == len(names)
            session.query(User).filter_by(username=user).one().roles = found
