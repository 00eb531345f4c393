"""The MLflow server or database that stores the runs: set it up, and check that it works."""

import contextlib
import os
import re
import shlex
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote

from filelock import FileLock

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput
from quartet.artifacts.secrets import LOGIN, without_secrets
from quartet.tracking.reachability import check_answers, holders

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, RunInfo

Answer = TypeVar("Answer")
EXPERIMENT = "quartet"
MODES = ("on", "later", "off")
_SQLITE = "sqlite:///"
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"  # environment variable: seconds
FILE_SECONDS = 600  # that a server may take to store a file
# MLflow's codes: no such run or model; no such alias, or what is sent is wrong.
_REFUSALS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


class TrackingUnreachableError(ConnectionError):
    """The tracking server does not answer."""


class ExperimentDeletedError(TrackingUnreachableError):
    """Our experiment was deleted in MLflow, which then takes no more runs; it can be restored."""


def say(what: str) -> None:
    """Print what a user should know of the tracking; a stage goes on."""
    print(f"tracking: {what}", file=sys.stderr, flush=True)


def mode() -> str:
    """`on`; `later`: what is logged stays in its journal until `sync`; or `off`: nothing is logged.

    Raises:
        BadInput: `QUARTET_TRACKING` is set to something else.
    """
    found = os.environ.get("QUARTET_TRACKING") or "on"
    if found.lower() not in MODES:
        raise BadInput(f"QUARTET_TRACKING: found {found!r}, allowed are {', '.join(MODES)}")
    return found.lower()


def address() -> str:
    """`MLFLOW_TRACKING_URI` if set, else a database in the repository that owns this checkout or experiment.

    Relative paths are also resolved in that repository: runs must outlive an experiment's temporary copy.
    """
    given, file = _given_address(), database()
    return given if file is None else sqlite_address(file, given.rpartition("/")[2].partition("?")[2])


def database() -> Path | None:
    """The file of the SQLite database that the runs are in; None if they are elsewhere."""
    given = _given_address()
    if not given.startswith(_SQLITE):
        return None
    folder, slash, name = given.removeprefix(_SQLITE).rpartition("/")
    literal = folder + slash + name.partition("?")[0]
    decoded = paths.repository() / unquote(literal)
    # `sqlite:///$PWD/mlflow.db` is not encoded as an address should be.
    return decoded if decoded.parent.is_dir() else paths.repository() / literal


def sqlite_address(file: Path, query: str = "") -> str:
    """The address of an SQLite database, as SQLAlchemy decodes it: a `%` or `?` in the path is encoded."""
    path = str(file)
    if re.search("[%?#]", path):
        # MLflow makes the folder that it reads in an address, undecoded. With the slashes encoded, it reads none.
        path = path[:1] + quote(path[1:], safe="")
    return f"{_SQLITE}{path}" + (f"?{query}" if query else "")


def _given_address() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}mlflow.db"


def lock(name: str) -> FileLock:
    """A lock that all processes of this repository share."""
    paths.locks().mkdir(parents=True, exist_ok=True)
    return FileLock(paths.locks() / f"{name}.lock")


def configure() -> None:
    """Configure MLflow, before it is imported."""
    # Without these, a server that dies later would block every call for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault(_TIMEOUT, "10")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    # No telemetry, as with DVC's analytics.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Wait for minutes within the block: a server answers a large file only when it has stored it."""
    before = os.environ.get(_TIMEOUT)
    os.environ[_TIMEOUT] = str(max(FILE_SECONDS, int(before or 0)))
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TIMEOUT]
        else:
            os.environ[_TIMEOUT] = before


def prepare() -> None:
    """Configure MLflow, and check that a tracking server answers; fast, since it does not import MLflow.

    Raises:
        TrackingUnreachableError: the server does not answer within three seconds.
    """
    configure()
    try:
        check_answers(address())
    except (ConnectionError, ValueError) as error:
        raise TrackingUnreachableError(unavailable_message(error)) from error


def open_store() -> "tuple[MlflowClient, str]":
    """An MLflow client, and the id of our experiment, which is created if necessary.

    Raises:
        TrackingUnreachableError: the server does not answer within three seconds, or refuses; or the database is
            damaged or from another version of MLflow.
        ExperimentDeletedError: our experiment was deleted.
    """
    prepare()
    import mlflow

    uri, file = address(), database()
    try:
        with lock("tracking"):
            if file is not None:
                _write_ahead(file)
            mlflow.set_tracking_uri(uri)
            client = mlflow.MlflowClient(uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                local = uri.startswith("sqlite:")
                folder = (paths.repository() / "mlartifacts").as_uri() if local else None
                return client, client.create_experiment(EXPERIMENT, artifact_location=folder)
    except Exception as error:  # databases and their drivers raise exceptions of many types
        raise TrackingUnreachableError(unavailable_message(error)) from error
    if is_deleted(experiment):
        raise ExperimentDeletedError(
            f"MLflow's experiment {EXPERIMENT!r} was deleted, so that it takes no more runs. Restore it with "
            f"`{restoring('experiments', '--experiment-id', experiment.experiment_id)}`, or set QUARTET_TRACKING=off "
            "to continue without tracking"
        )
    return client, experiment.experiment_id


def is_deleted(what: "Experiment | RunInfo") -> bool:
    """Whether an experiment or a run was deleted; MLflow keeps it until `mlflow gc`."""
    return what.lifecycle_stage == "deleted"


def restoring(kind: str, option: str, which: str) -> str:
    """The command that restores a deleted experiment or run."""
    return f"MLFLOW_TRACKING_URI={shlex.quote(_without_login(address()))} mlflow {kind} restore {option} {which}"


def get_or_none(ask: Callable[..., Answer], *about: str) -> Answer | None:
    """Call a method of the client; returns None if MLflow has no such object.

    Raises:
        TrackingUnreachableError: the call fails in any other way.
    """
    from mlflow.exceptions import MlflowException

    try:
        return ask(*about)
    except MlflowException as error:
        if error.error_code in _REFUSALS:
            return None
        raise TrackingUnreachableError(unavailable_message(error)) from error


def _write_ahead(path: Path) -> None:
    """Switch the database permanently to a journal mode in which readers and writers do not block each other."""
    with sqlite3.connect(path, timeout=30) as database:
        database.execute("PRAGMA journal_mode=WAL")


def unavailable_message(reason: object) -> str:
    """A one-line message that MLflow cannot be used, and what to do about it; contains no password."""
    file = database()
    if file is None:
        advice = "Start its server, unset MLFLOW_TRACKING_URI to use the local database,"
    elif is_locked(reason):
        advice = "Wait until it is free or end that process,"
    else:
        advice = (
            "If it is damaged, move it and its -wal and -shm files away, and the next run creates a new one; otherwise"
        )
    return (
        f"{failure(reason)}. {advice} set QUARTET_TRACKING=later to keep what is logged for `python -m quartet sync`, "
        "or set QUARTET_TRACKING=off to continue without tracking"
    )


def failure(reason: object) -> str:
    """That MLflow cannot be used, and why, without advice and without passwords."""
    if isinstance(reason, TrackingUnreachableError):
        if reason.__cause__ is None:
            return first_line(reason)
        reason = reason.__cause__
    file = database()
    if file is None:
        why = first_line(reason).rpartition("(Caused by ")[2].removesuffix("))")  # not what was asked, and how often
        return f"MLflow at {shown_address()} does not answer ({why})"
    if is_locked(reason):
        return f"MLflow's database {file} is locked{holders(file)}"
    return f"MLflow's database {file} cannot be used ({first_line(reason)})"


def is_locked(reason: object) -> bool:
    """Whether an error says that another process holds the lock of an SQLite database."""
    return "database is locked" in str(reason) or "database table is locked" in str(reason)


def may_pass(error: BaseException) -> bool:
    """Whether an error at the opening of the store is an outage, and not a refusal or a setting that is wrong."""
    from mlflow.exceptions import MlflowException

    cause = error.__cause__ if isinstance(error, TrackingUnreachableError) else error
    if isinstance(error, ExperimentDeletedError):
        return False
    if database() is not None:
        return is_locked(cause)
    if isinstance(cause, MlflowException):
        return cause.get_http_status_code() >= 500 and address().startswith("http")
    return isinstance(cause, ConnectionError | TimeoutError)


def refuses(error: BaseException) -> bool:
    """Whether MLflow, or a file that is missing, says that this entry will never be taken; others may be."""
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code in _REFUSALS
    if isinstance(error, requests.HTTPError) and error.response is not None:  # of a file, such as one that is too large
        return 400 <= error.response.status_code < 500 and error.response.status_code not in (401, 403, 408, 429)
    return isinstance(error, FileNotFoundError | NotADirectoryError | TypeError | KeyError | AttributeError)


def _without_login(text: str) -> str:
    """Remove logins from all addresses in a text: urllib does not take them, and messages must not show them."""
    return LOGIN.sub("", text)


def shown_address() -> str:
    """The address of the runs, for messages and tags: without logins and tokens."""
    return without_secrets(address())


def first_line(reason: object) -> str:
    """The first line of an error's message, without secrets, or its type if the message is empty."""
    return without_secrets(next(iter(str(reason).splitlines()), type(reason).__name__))
