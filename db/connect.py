"""Postgres connections: short autocommit statements with time limits, and errors translated to our error tree."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Self, TypeAlias, TypeVar, cast

import psycopg
from pydantic import Field, SecretStr
from pydantic_core import PydanticSerializationError
from sqlalchemy import Connection, Engine, Executable, Row, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from triagem.contracts.errors import (
    AccessDenied,
    DatabaseUnavailable,
    InvalidInput,
    NotMigrated,
    RowRefused,
    StatementRefused,
    TriagemError,
    UntrustedCertificate,
    WindowTooLarge,
    connection_problem,
)
from triagem.settings import Settings

# Retryable SQLSTATE classes: connection, transaction (25006: a standby, not promoted yet), rollback, resources,
# object in use, operator intervention, system error.
_RETRY_CLASSES: Final = frozenset({"08", "25", "40", "53", "55", "57", "58"})
# Retryable codes that may be caused by the statement's size: statement_timeout, and not enough memory.
_SIZE_STATES: Final = frozenset({"57014", "53200"})
# Classes caused by a value: data exception, integrity constraint, program limit (a value too large for it).
_ROW_CLASSES: Final = frozenset({"22", "23", "54"})
_NO_PRIVILEGE: Final = "42501"
_ACCESS_STATES: Final = frozenset({"28P01", "28000", "3D000", _NO_PRIVILEGE})
_MISSING_STATES: Final = frozenset({"42P01", "42703", "3F000"})
# libpq gives no SQLSTATE for a refused login: only the message text identifies it.
_ACCESS_MESSAGES: Final = ("authentication failed", "no password supplied", "no pg_hba.conf entry", "does not exist")
# It gives none for a bad certificate either, which it detects before the login. These messages are tested before the
# login messages, because a certificate file may "not exist" too.
_CERTIFICATE_MESSAGES: Final = (
    "certificate verify failed",
    "does not match host name",
    "root certificate file",
    "get server's host name from",
    "server does not support SSL",
)
# The time for a pooled connection to answer before its first statement; it is replaced if it does not. With the
# deadline of a statement instead, the first reader waited 40 s for a frozen Postgres.
_PING_S: Final = 2.0
_CONNECT_S: Final = 5  # for a new connection to open, and for a pooled one to become free

T = TypeVar("T")
AnyRow: TypeAlias = Row[*tuple[Any, ...]]


class DatabaseSettings(Settings, used_by="gateway, worker, ops, commands"):
    """Connection settings. The URL may contain a password, so the repr hides it."""

    database_url: SecretStr | None = Field(
        default=None,
        description="postgresql://user:password@host:port/database, for TLS ?sslmode=verify-full&sslrootcert=…;"
        " commands without it use the local stack",
    )
    writer_url: SecretStr | None = Field(
        default=None,
        description="`triagem db upgrade` creates the login of this URL, a member of `triagem_writer`",
    )
    statement_timeout_s: float = Field(default=30, gt=0, description="time limit of a statement")
    lock_timeout_s: float = Field(default=10, gt=0, description="how long a statement waits for a lock")

    @property
    def deadline_s(self) -> float:
        """Seconds after which the client ends a call that Postgres should have ended itself: Postgres is frozen."""
        return self.statement_timeout_s + min(5.0, self.statement_timeout_s)


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that raises OperationalError and closes itself if a call gets no answer in time.

    This also detects a frozen server. `statement_timeout` does not, because the server enforces it. TCP does not
    either: the server's kernel still acknowledges data that the stopped process does not read.
    """

    deadline_s: float  # per call, in seconds

    @contextmanager
    def with_deadline(self, deadline_s: float) -> Iterator[None]:
        """Within the block, a call has this deadline."""
        before, self.deadline_s = self.deadline_s, deadline_s
        try:
            yield
        finally:
            self.deadline_s = before

    def wait(self, gen: Any, *arguments: Any, **settings: Any) -> Any:
        """Run one call. psycopg sends the generator a wake-up several times a second while the server is silent."""
        return super().wait(self._limited(gen), *arguments, **settings)

    def _limited(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        end = time.monotonic() + self.deadline_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > end:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {self.deadline_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


class Database:
    """A pool of connections. Nothing connects before the first statement."""

    def __init__(self, url: str, settings: DatabaseSettings | None = None, *, disable_seqscan: bool = False) -> None:
        """Create the pool.

        Args:
            disable_seqscan: for callers that only look up rows by key: Postgres then never scans a whole table that
                has an index. Without this setting, Postgres caches its plan for a foreign key check while the table
                holds ten rows: a sequential scan per written row. It keeps that plan until the next ANALYZE: writing
                30,000 tickets after the first eight took four times as long.
        """
        settings = settings or DatabaseSettings()
        options = (
            f"-c statement_timeout={int(settings.statement_timeout_s * 1000)} "
            f"-c lock_timeout={int(settings.lock_timeout_s * 1000)} -c timezone=UTC"
        )
        if disable_seqscan:
            options += " -c enable_seqscan=off"
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() not in {"postgresql", "postgres"}:
                raise InvalidInput("TRIAGEM_DATABASE_URL: expected postgresql://user:password@host:port/database")
            self.engine: Engine = create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                poolclass=QueuePool,
                pool_size=2,
                pool_timeout=_CONNECT_S,
                pool_pre_ping=True,
                hide_parameters=True,  # ticket texts must not reach a log through an error message
                connect_args={
                    "options": options,
                    "connect_timeout": _CONNECT_S,
                    "application_name": "triagem",
                    # If the network drops packets, the kernel ends the connection.
                    "tcp_user_timeout": int(settings.deadline_s * 1000),
                    "keepalives_idle": 10,
                    "keepalives_interval": 5,
                    "keepalives_count": 3,
                },
            )
        except (ArgumentError, ValueError):  # unescaped `@` and `:` make the parser quote the password as a port
            raise InvalidInput(
                "TRIAGEM_DATABASE_URL is not a URL: expected postgresql://user:password@host:port/db"
            ) from None

        def connect(_: object, __: object, arguments: Any, settings_: Any) -> DeadlineConnection:
            connection = DeadlineConnection.connect(*arguments, **settings_)
            connection.deadline_s = settings.deadline_s
            return connection

        def ping(connection: Any) -> bool:
            with connection.with_deadline(_PING_S):
                return default_ping(connection)

        event.listen(self.engine, "do_connect", connect)
        default_ping = self.engine.dialect.do_ping
        self.engine.dialect.do_ping = ping  # type: ignore[assignment, method-assign]

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """A connection on which each statement is its own transaction: a process that is stopped or killed
        between two statements never holds a lock. Raises leaves of the error tree."""
        with database_errors(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def probe(self, rows: str) -> Iterator[Connection]:
        """A transaction that is rolled back. If Postgres refuses a harmless row in it, Postgres refuses all `rows`.

        Raises:
            StatementRefused: Postgres refuses the harmless row, so no single row is at fault.
        """
        try:
            with database_errors(), self.engine.connect() as connection, connection.begin() as transaction:
                yield connection
                transaction.rollback()
        except RowRefused as error:
            raise StatementRefused(f"Postgres refuses every {rows}: {error}") from None

    def execute(self, statement: str | Executable, /, **values: Any) -> int:
        """Run one statement as `autocommit` does; returns the number of rows that it changed."""
        with self.autocommit() as connection:
            return connection.execute(_executable(statement), values).rowcount

    def rows(self, statement: str | Executable, /, **values: Any) -> Sequence[AnyRow]:
        """Run one statement as `autocommit` does; returns its rows."""
        with self.autocommit() as connection:
            return connection.execute(_executable(statement), values).all()

    def scalars(self, statement: str | Executable, /, **values: Any) -> list[Any]:
        """The first column of `rows`."""
        return [row[0] for row in self.rows(statement, **values)]

    def one_or_none(self, statement: str | Executable, /, **values: Any) -> AnyRow | None:
        """The first row, or None if there is none."""
        return next(iter(self.rows(statement, **values)), None)

    def first(self, make: Callable[..., T], statement: str | Executable, /, **values: Any) -> T | None:
        """`make` of the columns of the first row, or None if there is none."""
        return next((make(*row) for row in self.rows(statement, **values)), None)

    def one(self, statement: str | Executable, /, **values: Any) -> AnyRow:
        """The first row of a statement that always returns one."""
        return self.rows(statement, **values)[0]

    def scalar_one(self, statement: str | Executable, /, **values: Any) -> Any:
        """The first column of the row that `one` returns."""
        return self.one(statement, **values)[0]

    def close(self) -> None:
        """Close the pool."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _executable(statement: str | Executable) -> Executable:
    return text(statement) if isinstance(statement, str) else statement


def without_deadline(connection: Connection) -> AbstractContextManager[None]:
    """Within the block, a statement whose `statement_timeout` is off may take as long as it needs."""
    return cast("DeadlineConnection", connection.connection.driver_connection).with_deadline(math.inf)


@contextmanager
def database_errors() -> Iterator[None]:
    """Translate SQLAlchemy's errors. No message contains parameters: they are customers' texts."""
    try:
        yield
    except DBAPIError as error:
        raise _translated(error) from None
    except PoolTimeout:
        raise DatabaseUnavailable("no free database connection") from None
    except (
        UnicodeEncodeError,
        PydanticSerializationError,
    ):  # psycopg raises it (its repr contains the whole value), and so does our code
        raise RowRefused("a value holds a lone surrogate (broken Unicode)") from None
    except SQLAlchemyError as error:
        raise StatementRefused(f"{type(error).__name__} from SQLAlchemy") from None


def _translated(error: DBAPIError) -> TriagemError:
    origin: Any = error.orig
    state: str = getattr(origin, "sqlstate", None) or ""
    message = "" if state else str(origin)
    if any(part in message for part in _CERTIFICATE_MESSAGES):
        return UntrustedCertificate(
            "Postgres' certificate is not trusted, or it has none: check TRIAGEM_DATABASE_URL"
        )
    if state in _ACCESS_STATES or any(part in message for part in _ACCESS_MESSAGES):
        forbidden = "the Postgres login in TRIAGEM_DATABASE_URL may not do this: use the owner of the tables"
        refused = "Postgres refused our user, password or database: check TRIAGEM_DATABASE_URL"
        return AccessDenied(forbidden if state == _NO_PRIVILEGE else refused)
    if state in _MISSING_STATES:
        return NotMigrated(
            "the database lacks our tables, or this login may not see them: run `triagem db upgrade`, or check "
            "the user in TRIAGEM_DATABASE_URL"
        )
    # Values that psycopg itself refuses (e.g. a NUL) never reach Postgres and have no SQLSTATE.
    by_psycopg = not state and isinstance(error, DataError | ProgrammingError)
    if state in _SIZE_STATES:
        return WindowTooLarge(f"Postgres ended a statement that took too long or too much memory ({state})")
    if (not state and not by_psycopg) or state[:2] in _RETRY_CLASSES or error.connection_invalidated:
        return DatabaseUnavailable(f"Postgres does not answer or is busy ({state or connection_problem(origin)})")
    leaf = RowRefused if by_psycopg or state[:2] in _ROW_CLASSES else StatementRefused
    part = "value" if leaf is RowRefused else "statement"
    return leaf(f"Postgres refused a {part} ({type(origin).__name__}, SQLSTATE {state or 'none'})")
