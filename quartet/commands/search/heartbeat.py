"""Signs of life of running trials: Optuna's own are not sent by a search that asks and tells.

A sign is a number that grows. Each machine measures, by its own clock, how long the numbers of the others stand still:
clocks of different machines are never compared.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from quartet.commands.search.storage import is_outage

if TYPE_CHECKING:
    import optuna

SIGN = "heartbeat"  # a trial's attribute
SIGNS_IN_GRACE = 6
LONGEST_PAUSE = 10.0  # seconds


class Watch:
    """A thread that gives signs of life of this process's trial, and notes which other trials give none.

    A trial has vanished if it gave no sign for its grace time, in which this thread looked several times; an outage of
    the database, in which nobody can give one, does not count.
    """

    def __init__(self, study: "optuna.Study", grace: float) -> None:
        """`grace`: seconds without a sign, after which others may take up a trial of this process."""
        self._study, self._grace, self._pause = study, grace, min(grace / SIGNS_IN_GRACE, LONGEST_PAUSE)
        self._own: optuna.Trial | None = None
        self._count, self._looked = 0, time.monotonic()
        self._silent: dict[int, tuple[Any, float]] = {}  # trial → its sign, and for how many seconds it has stood still
        self._ended, self._turn = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(self._pause)

    def first_sign(self) -> dict[str, float]:
        """The attribute `SIGN` of a trial that starts."""
        return {"count": 0, "grace": self._grace}

    @contextlib.contextmanager
    def following(self, trial: "optuna.Trial") -> Iterator[None]:
        """In the block, give signs of life for a trial."""
        with self._turn:
            self._own, self._count = trial, 0
        try:
            yield
        finally:
            with self._turn:
                self._own = None

    def has_vanished(self, trial: "optuna.trial.FrozenTrial") -> bool:
        """Whether a running trial, as it is now, has given no sign for its grace time."""
        sign = trial.user_attrs.get(SIGN)
        seen, seconds = self._silent.get(trial.number, (None, 0.0))
        return sign == seen and seconds >= (sign["grace"] if sign else self._grace)

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            try:
                self.give_sign()
                self.look()
            except Exception as error:  # the search itself says so, as soon as it needs the database
                if not is_outage(error):
                    raise

    def give_sign(self) -> None:
        """Show that this process's trial goes on, if it runs one."""
        import optuna

        with self._turn:
            if self._own is None:
                return
            self._count += 1
            try:
                self._own.set_user_attr(SIGN, {"count": self._count, "grace": self._grace})
            except optuna.exceptions.UpdateFinishedTrialError:  # another machine has taken it up
                self._own = None

    def look(self) -> None:
        """Note the signs of all running trials, and for how long they have stood still."""
        import optuna

        running = self._study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
        passed = min(time.monotonic() - self._looked, 2 * self._pause)
        silent = {}
        for trial in running:
            sign = trial.user_attrs.get(SIGN)
            seen, seconds = self._silent.get(trial.number, (sign, -passed))
            silent[trial.number] = (sign, seconds + passed if sign == seen else 0.0)
        self._silent, self._looked = silent, time.monotonic()
