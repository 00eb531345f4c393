"""The stage's side of its recorder process: start it, start it anew if it dies, read what it answers."""

import contextlib
import json
import select
import subprocess
import sys
import time
from typing import Any

from quartet.tracking import store
from quartet.tracking.journal import Journal

OPENING_SECONDS = 60.0  # that a stage waits at most for its run's id
ENDING_SECONDS = 75.0  # that a stage waits at most at its end; the recorder gives up sooner
MOST = 5  # recorders for one stage


class SenderProcess:
    """A recorder process that sends a journal."""

    def __init__(self, journal: Journal):
        self._journal, self._started = journal, 0
        self._opened: dict[str, Any] | None = None  # its first answer
        self._start()

    def _start(self) -> None:
        again = ["again"] if self._opened is not None else []
        self._started += 1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quartet.tracking.recorder", str(self._journal.folder), *again],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # so that `select` sees every line
            start_new_session=True,  # so that it outlives a kill of the stage's process group, and can close the run
        )

    def revive(self) -> bool:
        """Start a recorder anew if it has died; returns False if too many have."""
        status = self._process.poll()
        if status is None:
            return True
        if self._started == MOST:
            return False
        if self._started == 1:
            how = f"signal {-status}" if status < 0 else f"exit code {status}"
            store.say(f"the process that sends to MLflow ended ({how}); it is started anew")
        self._close()
        self._start()
        return True

    def opening(self) -> dict[str, Any]:
        """How the opening of the run went: its `run_id` and `parent_run_id`, or that it `waits`.

        Raises:
            TrackingUnreachableError: MLflow refuses, or its store cannot be used.
        """
        deadline = time.monotonic() + OPENING_SECONDS
        while self._opened is None:
            try:
                self._opened = self._answer(deadline) or {"waits": True}
            except EOFError:
                if not self.revive():
                    self._opened = {"error": store.unavailable_message("its process ended")}
        if self.is_refused():
            raise store.TrackingUnreachableError(self._opened["error"])
        return self._opened

    def is_refused(self) -> bool:
        """Whether the run could not be opened, and not for an outage."""
        return self._opened is not None and "error" in self._opened

    def finish(self) -> None:
        """Tell the recorder that the stage has ended, and wait until all is sent or it gives up."""
        deadline = time.monotonic() + ENDING_SECONDS
        while True:
            self._close(answers=False)
            try:
                answer = self._answer(deadline)
            except EOFError:
                if self.is_refused():
                    return
                if not self.revive():
                    store.say(f"the process that sends to MLflow ended; what is left is in {self._journal.folder}")
                    return
                continue
            if answer is None:
                store.say("MLflow takes its time; what is left is sent in the background, or by the next stage")
                return
            if "is_sent" in answer:
                break
        with contextlib.suppress(subprocess.TimeoutExpired):  # it sends what other stages have left
            self._process.wait(0.5)

    def _answer(self, deadline: float) -> dict[str, Any] | None:
        """The next answer; None if there is none in time.

        Raises:
            EOFError: the process has ended.
        """
        answers = self._process.stdout
        assert answers is not None
        if not select.select([answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return None
        line = answers.readline()
        if not line:
            self._process.wait()
            raise EOFError
        return json.loads(line)

    def _close(self, answers: bool = True) -> None:
        for pipe in (self._process.stdin, self._process.stdout if answers else None):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
