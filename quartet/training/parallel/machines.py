"""The use of CPU, memory and GPUs on all machines of a training, for the one run that it has in MLflow.

The first process on each other machine measures it and leaves the numbers where the processes met; process 0 logs them.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator

from torch import distributed

from quartet.training.parallel.collectives import meeting_place
from quartet.training.parallel.share import place

SECONDS = 2.0  # between two samples
LOOKS = 3  # of process 0 for samples, in that time


@contextlib.contextmanager
def watched_machines(log: Callable[[dict[str, float], int], None]) -> Iterator[None]:
    """Measure the other machines for the duration of the block; process 0 calls `log(metrics, sample)`.

    With one machine, nothing happens: its own process of tracking measures it.
    """
    machine, is_first_there = int(os.environ.get("GROUP_RANK", "0")), os.environ.get("LOCAL_RANK", "0") == "0"
    machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    if machines == 1 or not (place() == 0 or (machine and is_first_there)):
        yield
        return
    ends, store = threading.Event(), meeting_place()
    work = (lambda: _collect(ends, store, machines, log)) if place() == 0 else (lambda: _measure(ends, store, machine))
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _measure(ends: threading.Event, store: distributed.Store, machine: int) -> None:
    from quartet.tracking.system_metrics import sampled  # imports MLflow

    for sample, metrics in enumerate(sampled(ends, SECONDS)):
        with contextlib.suppress(RuntimeError):  # process 0 has ended, which the training notices
            store.set(f"machine/{machine}/{sample}", json.dumps(metrics))


def _collect(
    ends: threading.Event, store: distributed.Store, machines: int, log: Callable[[dict[str, float], int], None]
) -> None:
    """Log the samples of the other machines as they come."""
    samples = dict.fromkeys(range(1, machines), 0)
    while not ends.wait(SECONDS / LOOKS):
        for machine, sample in samples.items():
            with contextlib.suppress(RuntimeError):
                if store.check([key := f"machine/{machine}/{sample}"]):
                    found = json.loads(store.get(key))
                    store.delete_key(key)
                    log({f"system/machine-{machine}/{name}": value for name, value in found.items()}, sample)
                    samples[machine] += 1
