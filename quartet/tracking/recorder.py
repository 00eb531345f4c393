"""The process that sends a stage's journal to MLflow: `python -m quartet.tracking.recorder FOLDER`.

It imports MLflow while the stage imports torch, and it waits for a tracker that does not answer so that the training
need not. It answers on standard output, one line of JSON each: how the opening of the run went and, after the stage has
ended, whether all is sent. Standard input has nothing to read: its end says that the stage has ended, however it did.
"""

import contextlib
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from quartet.tracking import store
from quartet.tracking.journal import Journal
from quartet.tracking.journals import unsent
from quartet.tracking.sending import Sender, left_behind, send_each

LOOKS = 0.25  # seconds between two looks at the journal
LONGEST_PAUSE = 30.0  # seconds between two attempts while MLflow does not answer
# Seconds after the end of the stage: for which a tracker that does not answer is waited for, for which the stage waits
# while one takes its time, and after which this process ends whatever it is doing.
UNANSWERED, SLOW, LAST = 5.0, 60.0, 900.0
SYNC = "python -m quartet sync"


class Recorder:
    """Sends a journal while its stage runs and for a short time after.

    Args:
        journal: whose lock the caller holds.
        answers: what the stage reads.
        is_answered: whether the stage knows how the opening of the run went, from a process before this one.
    """

    def __init__(self, journal: Journal, answers: IO[str], is_answered: bool = False):
        self._journal, self._answers, self._is_answered = journal, answers, is_answered
        self._sender = Sender(journal)
        self._outage = 0  # attempts since MLflow stopped answering
        self._ended_at: float | None = None  # the stage

    def run(self) -> bool:
        """Send until the stage has ended and all is sent; returns False where the tracker does not answer by then."""
        store.configure()
        from quartet.tracking.system_metrics import Monitor

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints what is raised, and said here
        monitor = Monitor(self._journal)
        while True:
            try:
                self._attempt()
            except Exception as error:  # databases, their drivers and servers raise exceptions of many types
                if not self._is_answered and not store.may_pass(error):
                    is_said = isinstance(error, store.TrackingUnreachableError)
                    self._answer({"error": str(error) if is_said else store.unavailable_message(error)})
                    return False
                self._say_outage(error)
                self._answer_once({"waits": True})
                if self._ended_at is not None and time.monotonic() - self._ended_at > UNANSWERED:
                    return False
            else:
                if self._ended_at is not None:
                    return True
            self._wait()
            if self._ended_at is not None:
                monitor.finish()

    def _attempt(self) -> None:
        """Send what is new, and close the run if the stage has ended."""
        if self._outage:
            store.prepare()  # finds out within three seconds
        is_over = self._ended_at is not None
        if self._sender.has_news() or is_over:
            self._sender.send()
        if self._sender.run_id is None:
            if is_over:
                self._journal.remove()  # the stage ended before it began a run
            return
        if not self._is_answered:
            _reap(self._sender)
        self._answer_once({"run_id": self._sender.run_id, "parent_run_id": self._sender.parent_id})
        if is_over:
            self._sender.finish()
        if self._outage:
            self._outage = 0
            store.say("MLflow answers again, and has what it missed")

    def _wait(self) -> None:
        """Wait until it is time to look again or to try again, or until the stage ends."""
        pause = min(2.0 ** (self._outage - 1), LONGEST_PAUSE) if self._outage else LOOKS
        if self._ended_at is not None:
            time.sleep(min(pause, UNANSWERED / 4))
        elif select.select([sys.stdin], [], [], pause)[0] and not os.read(0, 1024):
            self._ended_at = time.monotonic()
            threading.Thread(target=_end_in_time, daemon=True).start()

    def _say_outage(self, error: Exception) -> None:
        if not self._outage:
            waits = f"what is logged waits in {self._journal.folder} and is sent when it answers; the stage goes on"
            store.say(f"{store.failure(error)}: {waits}")
        self._outage += 1

    def _answer_once(self, content: Mapping[str, object]) -> None:
        if not self._is_answered:
            self._is_answered = True
            self._answer(content)

    def _answer(self, content: Mapping[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the stage is gone, but its run still gets closed
            print(json.dumps(content), file=self._answers, flush=True)

    def tell(self, is_sent: bool) -> None:
        """Tell the stage, which waits, that there is nothing more to wait for."""
        if not is_sent and self._is_answered:
            store.say(
                f"what MLflow does not have yet is in {self._journal.folder}; the next stage sends it, or `{SYNC}`"
            )
        self._answer({"is_sent": is_sent})


def _end_in_time() -> None:
    """Let go of the stage's output when it no longer waits, and end at last."""
    time.sleep(SLOW)
    _let_go()
    time.sleep(LAST - SLOW)
    os._exit(1)


def _let_go() -> None:
    """Let go of the stage's output, whose reader may wait for its end."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _reap(sender: Sender) -> None:
    """Mark runs as killed whose process on this machine is gone, unless a journal will say how they ended."""
    from quartet.artifacts.processes import is_alive

    client, experiment = sender.client(), sender.experiment
    unfinished = {journal.sent().get("run_id") for journal in unsent()}
    mine = f"attributes.status = 'RUNNING' and tags.`quartet.host` = '{socket.gethostname()}'"
    for run in client.search_runs([experiment], mine):
        tags = run.data.tags
        if run.info.run_id in unfinished:
            continue
        if not is_alive(tags.get("quartet.process", "")) and not Path(tags.get("quartet.journal", "-")).is_dir():
            client.set_terminated(run.info.run_id, "KILLED")


def main() -> None:
    """Send the journal of the stage that started this process, then those that earlier stages left."""
    for request in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # for the stage, which says how the run ended
        signal.signal(request, signal.SIG_IGN)
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries must not print among the answers
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # this process tries again itself
    journal = Journal(Path(sys.argv[1]))
    with journal.sole_sender() as is_ours:
        if is_ours:
            recorder = Recorder(journal, answers, is_answered="again" in sys.argv[2:])
            is_sent = recorder.run()
            recorder.tell(is_sent)
    if is_ours and is_sent:
        sys.stderr.flush()
        _let_go()
        answers.close()
        with contextlib.suppress(Exception):  # `sync` says what is wrong
            for _ in send_each(left_behind()):
                pass
    sys.stderr.flush()
    os._exit(0)  # skips tearing down MLflow's modules, which takes most of a second


if __name__ == "__main__":
    main()
