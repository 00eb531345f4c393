"""Where the studies of searches are: a local SQLite file, or a PostgreSQL database that several machines share."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput
from quartet.artifacts.secrets import without_secrets
from quartet.commands.search.command import VARIABLE
from quartet.tracking import store
from quartet.tracking.reachability import check_answers

if TYPE_CHECKING:
    import optuna

Answer = TypeVar("Answer")
PATIENCE = 600.0  # seconds that the database may be away in the middle of a search
PAUSE = 2.0  # seconds between two tries
_SCHEMES = ("postgresql", "postgresql+psycopg", "postgres")
# A network that drops packets in silence, or a machine that is gone, is noticed within a minute.
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,
}


class StudyUnreachableError(ConnectionError):
    """The database of the search does not answer."""


class Storage:
    """The database of the studies.

    Attributes:
        optuna: it, as Optuna has it.
        shared: whether other machines may use it.
    """

    def __init__(self, address: str | None) -> None:
        """Open the database at an address of PostgreSQL, or the local file (None); it is created if necessary.

        Raises:
            BadInput: this is no address of PostgreSQL.
            StudyUnreachableError: the database does not answer, or cannot be used.
        """
        self._address, self.shared = _checked(address) if address else None, bool(address)
        _local_file().parent.mkdir(exist_ok=True)
        try:
            with self.exclusive():  # of two new searches, one creates the tables
                self.optuna = self._open()
        except Exception as error:
            if (reason := _outage(error)) is None:
                raise
            raise StudyUnreachableError(self._unreachable(reason)) from None

    def _open(self) -> "optuna.storages.RDBStorage":
        import optuna

        # A connection that was cut between two trials is replaced without a word.
        options = {"pool_pre_ping": True, "connect_args": _CONNECTION}
        try:
            if self._address is None:
                return optuna.storages.RDBStorage(store.sqlite_address(_local_file()))
            address = "postgresql+psycopg://" + self._address.partition("://")[2]
            return optuna.storages.RDBStorage(address, engine_kwargs=options)
        except RuntimeError as error:  # the tables are of another version of Optuna
            raise StudyUnreachableError(f"the database of the search cannot be used: {error}") from error

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """One process at a time, of all that use this database, on whichever machine."""
        with store.lock("searches"), self._everywhere():
            yield

    @contextlib.contextmanager
    def _everywhere(self) -> Iterator[None]:
        if self._address is None:
            yield
            return
        import psycopg
        from psycopg.conninfo import make_conninfo

        connection = psycopg.connect(make_conninfo("postgresql://" + self._address.partition("://")[2], **_CONNECTION))
        try:
            # If this machine vanishes, PostgreSQL ends the session, and with it the lock.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'")
            connection.execute("SET LOCAL lock_timeout = '180s'")
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('quartet search'))")
            yield
        finally:
            connection.close()

    def patiently(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` returns; it is tried again for ten minutes while the database does not answer.

        Raises:
            StudyUnreachableError: it does not answer in this time.
        """
        deadline, said = time.monotonic() + PATIENCE, False
        while True:
            try:
                return ask()
            except Exception as error:  # of Optuna, SQLAlchemy or the driver
                if (reason := _outage(error)) is None:
                    raise
                if time.monotonic() > deadline:
                    raise StudyUnreachableError(self._unreachable(reason)) from None
                if not said:
                    typer.echo(f"{self._unreachable(reason)}; trying again for {PATIENCE / 60:.0f} minutes", err=True)
                said = True
            time.sleep(PAUSE)

    def _unreachable(self, reason: BaseException) -> str:
        where = without_secrets(self._address) if self._address else _local_file()
        return f"the database of the search at {where} cannot be used ({store.first_line(reason)})"


def _local_file() -> Path:
    return paths.repository() / ".quartet/searches.db"


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is away, so that what was asked may be asked again."""
    return _outage(error) is not None


def _outage(error: BaseException) -> BaseException | None:
    """The driver's error that says that the database is away, or None: the error is of another kind."""
    kinds: tuple[type[BaseException], ...] = (sqlite3.OperationalError, ConnectionError)
    with contextlib.suppress(ImportError):
        import psycopg

        kinds = (*kinds, psycopg.OperationalError, psycopg.InterfaceError)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, StudyUnreachableError):
        original = getattr(cause, "orig", None)  # what SQLAlchemy wraps
        if isinstance(original, kinds):
            return original
        if isinstance(cause, kinds):
            return cause
        cause = cause.__cause__
    return None


def _checked(address: str) -> str:
    """An address of PostgreSQL that answers.

    Raises:
        BadInput: it is another address, or the driver is missing.
        StudyUnreachableError: nothing answers there.
    """
    scheme, colon, _ = address.partition("://")
    if not colon or scheme not in _SCHEMES:
        found = f"{scheme}://…" if colon else "another text"
        raise BadInput(f"--storage or {VARIABLE}: found {found}, expected postgresql://USER:PASSWORD@HOST/DATABASE")
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise BadInput(f"--storage: PostgreSQL needs the package psycopg[binary] ({error})") from None
    try:
        conninfo_to_dict("postgresql://" + address.partition("://")[2])
        _ = urlsplit(address).port
        check_answers(address)
    except (psycopg.ProgrammingError, ValueError) as error:
        raise BadInput(f"--storage or {VARIABLE}: this is no address of PostgreSQL ({error})") from None
    except ConnectionError as error:
        shown = without_secrets(address)
        raise StudyUnreachableError(f"the database of the search at {shown} does not answer ({error})") from None
    return address
