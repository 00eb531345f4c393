"""The machine's use of CPU, memory, disk, network and GPU while a stage runs, into its journal."""

import contextlib
import threading

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
        self._journal, self._monitors = journal, _monitors()
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
        while True:
            for monitor in self._monitors:
                monitor.collect_metrics()
            if self._ends.wait(SECONDS):
                return
            scores: dict[str, float] = {}
            for monitor in self._monitors:
                scores |= {PREFIX + name: float(value) for name, value in monitor.aggregate_metrics().items()}
                monitor.clear_metrics()
            try:
                self._journal.append("log_scores", scores=scores, step=self._step)
            except OSError:  # the disk is full, which the stage says too
                return
            self._step += 1


def _monitors() -> list[BaseMetricsMonitor]:
    found: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    for gpu in (GPUMonitor, ROCMMonitor):
        with contextlib.suppress(Exception):  # there is no such GPU, or no library for it
            found.append(gpu())
            break
    return found


def _is_of_machine(entry: dict) -> bool:
    return entry["call"] == "log_scores" and any(name.startswith(PREFIX) for name in entry.get("scores", ()))
