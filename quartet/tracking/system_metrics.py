"""The machine's use of CPU, memory, disk, network and GPU while a stage runs, into its journal."""

import contextlib
import threading
from collections.abc import Iterator

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

from quartet.tracking.journal import Journal

SECONDS = 2.0  # between two samples
PREFIX = "system/"  # MLflow shows metrics of such names on a page of their own


class Monitor:
    """Measures in a thread of its own, as MLflow's `SystemMetricsMonitor` does, which writes to a tracker instead."""

    def __init__(self, journal: Journal):
        self._journal = journal
        before = [entry["step"] for entry, _ in journal.entries() if entry and _is_of_machine(entry)]
        self._step = max(before, default=-1) + 1  # another process may have begun
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Stop measuring."""
        self._ends.set()
        self._thread.join()

    def _measure(self) -> None:
        for metrics in sampled(self._ends, SECONDS):
            scores = {PREFIX + name: value for name, value in metrics.items()}
            try:
                self._journal.append("log_scores", scores=scores, step=self._step)
            except OSError:  # the disk is full, which the stage says too
                return
            self._step += 1


def sampled(ends: threading.Event, seconds: float) -> Iterator[dict[str, float]]:
    """The machine's metrics by their names in MLflow, every so many seconds until it ends."""
    monitors = _monitors()
    while True:
        for monitor in monitors:
            monitor.collect_metrics()
        if ends.wait(seconds):
            return
        found: dict[str, float] = {}
        for monitor in monitors:
            found |= {name: float(value) for name, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        yield found


def _monitors() -> list[BaseMetricsMonitor]:
    found: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    for gpu in (GPUMonitor, ROCMMonitor):
        with contextlib.suppress(Exception):  # there is no such GPU, or no library for it
            found.append(gpu())
            break
    return found


def _is_of_machine(entry: dict) -> bool:
    return entry["call"] == "log_scores" and any(name.startswith(PREFIX) for name in entry.get("scores", ()))
