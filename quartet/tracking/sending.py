"""Send journals to MLflow: each call again in its order, from where MLflow last confirmed it.

A crash between sending and confirming sends something twice, which changes nothing: the run is found by the tag with
our own id, and equal metrics, parameters, tags, files and models of one run are one.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quartet.artifacts import paths
from quartet.tracking import store
from quartet.tracking.calls import FOR_OTHER_RUNS, FOR_THIS_RUN, metrics_of
from quartet.tracking.journal import Journal
from quartet.tracking.journals import unsent
from quartet.tracking.reachability import check_unlocked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

OWN_ID = "quartet.id"  # tag with the journal's id
METRICS, PARAMS = 1000, 100  # MLflow's limits per call


class Sender:
    """Sends one journal, whose lock the caller holds.

    Attributes:
        run_id: of the run in MLflow, once `send` has opened it.
        parent_id: of its parent, if it has one.
        experiment: the id of ours, once `client` has opened the store.
    """

    def __init__(self, journal: Journal):
        self._journal = journal
        self._state = journal.sent()
        if self._state.get("tracker") != store.shown_address():
            self._state = {}  # a journal goes to one tracker as a whole
        self._client: MlflowClient | None = None
        self._is_known = False  # whether the store that answers now has the run
        self.experiment = ""

    @property
    def run_id(self) -> str | None:
        return self._state.get("run_id")

    @property
    def parent_id(self) -> str | None:
        return self._state.get("parent_run_id")

    def has_news(self) -> bool:
        """Whether the journal has entries that are not sent."""
        return self._client is None or self._journal.size() > self._state.get("position", 0)

    def send(self) -> None:
        """Send the entries that are new; opens the run, if that has not been done.

        Raises:
            Exception: MLflow does not answer, with an exception of any library; what was confirmed stays so.
        """
        if (file := store.database()) is not None:
            check_unlocked(file)  # MLflow would wait twenty seconds in each call
        if not self._open():
            return
        metrics: list[Metric] = []
        for entry, position in self._journal.entries(self._state["position"]):
            if entry is not None and entry["call"] == "log_scores":
                with self._refusals(entry):
                    metrics += metrics_of(entry)
                if len(metrics) < METRICS:
                    continue
                entry = None
            elif entry is None:
                self._say_refused("a damaged line of its journal")
            self._log_metrics(metrics)
            if entry is not None:
                with self._refusals(entry):
                    self._repeat(entry)
            metrics = []
            self._confirm(position)
        if metrics:
            self._log_metrics(metrics)
            self._confirm(position)

    def finish(self) -> None:
        """Close the run of a stage that is over as it ended, or as KILLED, and remove the journal.

        Raises:
            Exception: MLflow does not answer.
        """
        client, last = self.client(), self._last_moment()
        end = self._journal.find("end") or {"status": "KILLED", "milliseconds": last}
        client.set_terminated(self._opened_id(), end["status"], end["milliseconds"])
        if self.parent_id and self._state.get("closes_parent"):
            client.set_terminated(self.parent_id, "FINISHED", end["milliseconds"])
        for run_id in self._own_runs():
            if run_id != self.run_id:  # created by a request that MLflow answered too late
                client.delete_run(run_id)
        self._journal.close(self._state)

    def client(self) -> "MlflowClient":
        """An MLflow client; the first call opens the store.

        Raises:
            TrackingUnreachableError: it cannot be opened.
        """
        if self._client is None:
            self._client, self.experiment = store.open_store()
        return self._client

    def _open(self) -> bool:
        """Find or create the run; returns False while the journal has no beginning."""
        begin = self._journal.begin()
        if begin is None:
            return False
        client = self.client()
        if self.run_id is not None:
            if self._is_known:
                return True
            self._is_known = store.get_or_none(client.get_run, self.run_id) is not None
            if self._is_known:
                return True
            self._state = {}  # the database that had it was moved away
        parent, closes = self._parent_of(begin)
        found = self._own_runs()
        if found:
            run_id = found[0]
        else:
            ours = {OWN_ID: self._journal.id, "quartet.journal": str(self._journal.folder)}
            tags = {**begin["tags"], **ours, **({"mlflow.parentRunId": parent} if parent else {})}
            started = begin["milliseconds"]
            run_id = client.create_run(self.experiment, started, tags, begin["stage"]).info.run_id
        self._state, self._is_known = {"run_id": run_id, "parent_run_id": parent, "closes_parent": closes}, True
        if "is_lost" in begin:
            self._say_refused("settings and tags, since the first line of its journal is damaged")
        self._log_params(begin["params"])
        self._confirm(next(self._journal.entries())[1])
        return True

    def _own_runs(self) -> list[str]:
        """The runs with our id, the oldest first."""
        found = self.client().search_runs(
            [self.experiment], f"tags.`{OWN_ID}` = '{self._journal.id}'", order_by=["attributes.start_time"]
        )
        return [run.info.run_id for run in found]

    def _parent_of(self, begin: Mapping[str, Any]) -> tuple[str | None, bool]:
        """The id of the parent run, created if necessary, and whether its end is ours to say."""
        parent = begin.get("parent")
        if not parent:
            return None, False
        if "run_id" in parent:
            return parent["run_id"], False
        client, key = self.client(), parent["key"]
        with store.lock("parent-run"):
            found = client.search_runs([self.experiment], f"tags.`quartet.parent_key` = '{key}'", max_results=1)
            if found:
                return found[0].info.run_id, True
            tags = {"quartet.parent_key": key, **parent["tags"]}
            run_id = client.create_run(self.experiment, begin["milliseconds"], tags, parent["name"]).info.run_id
            client.set_terminated(run_id, "FINISHED", begin["milliseconds"])
            return run_id, True

    def _confirm(self, position: int) -> None:
        self._state |= {"position": position, "tracker": store.shown_address()}
        self._journal.confirm(self._state)

    def _last_moment(self) -> int:
        return max(entry["milliseconds"] for entry, _ in self._journal.entries() if entry)

    @contextlib.contextmanager
    def _refusals(self, entry: Mapping[str, Any]) -> Iterator[None]:
        """Say what MLflow refuses for good, once per run, and go on; other errors pass."""
        try:
            yield
        except Exception as error:
            if not store.refuses(error):
                raise
            self._say_refused(f"{entry['call']}: {store.first_line(error)}")

    def _say_refused(self, what: str) -> None:
        if not self._state.get("refused"):
            store.say(f"not in MLflow's run of {self._journal.id}: {what}")
        self._state["refused"] = self._state.get("refused", 0) + 1

    def _log_metrics(self, metrics: "list[Metric]") -> None:
        for start in range(0, len(metrics), METRICS):
            self._log_batch("metrics", metrics[start : start + METRICS])

    def _log_params(self, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        entries = [Param(name, value) for name, value in params.items()]
        for start in range(0, len(entries), PARAMS):
            self._log_batch("params", entries[start : start + PARAMS])

    def _log_batch(self, kind: str, batch: list[Any]) -> None:
        """Log metrics or params; of a batch that MLflow refuses for one of them, all others."""
        try:
            entries: dict[str, Any] = {kind: batch}
            self.client().log_batch(self._opened_id(), **entries)
        except Exception as error:
            if not store.refuses(error):
                raise
            if len(batch) == 1:
                self._say_refused(f"{batch[0].key}: {store.first_line(error)}")
            else:
                half = len(batch) // 2
                self._log_batch(kind, batch[:half])
                self._log_batch(kind, batch[half:])

    def _repeat(self, entry: Mapping[str, Any]) -> None:
        """Make the call that an entry describes."""
        call, client = entry["call"], self.client()
        if call in FOR_OTHER_RUNS:
            FOR_OTHER_RUNS[call](client, _training_run(entry["training"]), entry)
        elif call in FOR_THIS_RUN:
            is_large = call in ("log_file", "log_model")
            if is_large:
                store.prepare()  # a server that is gone is found in seconds
            with store.patient() if is_large else contextlib.nullcontext():
                FOR_THIS_RUN[call](client, self._opened_id(), self._journal.folder, entry)
        # The others tell how the stage began and ended.

    def _opened_id(self) -> str:
        return self._state["run_id"]


def _training_run(training: Mapping[str, str]) -> str | None:
    """The run that trained a model, as from `training_of`; its journal is sent first, if it is not yet."""
    if "journal" not in training:
        return training.get("run_id")
    journal = Journal(paths.tracking() / training["journal"])
    if journal.is_over():
        send_all(journal)
    return journal.sent().get("run_id")


def send_all(journal: Journal) -> str | None:
    """Send and close a journal whose stage is over; returns the run's id, or None if another process is at it.

    Raises:
        Exception: MLflow does not answer.
    """
    with journal.sole_sender() as is_ours:
        if not is_ours:
            return None
        sender = Sender(journal)
        sender.send()
        sender.finish()
        return sender.run_id


def send_each(journals: Iterable[Journal]) -> Iterator[tuple[Journal, str | None, Exception | None]]:
    """Send journals whose stages are over; yields each with its run's id, or what is wrong. An outage ends it."""
    for journal in journals:
        try:
            yield journal, send_all(journal), None
        except Exception as error:  # databases, their drivers and servers raise exceptions of many types
            yield journal, None, error
            if isinstance(error, store.TrackingUnreachableError) or store.may_pass(error):
                return


def left_behind() -> list[Journal]:
    """The journals of stages that are over, the first to begin first."""
    return [journal for journal in unsent() if journal.is_over()]
