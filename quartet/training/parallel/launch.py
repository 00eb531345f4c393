"""Start a training's processes with `torchrun`'s engine, and end all of them when one ends."""

import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from quartet.artifacts import paths
from quartet.artifacts.errors import SAID, BadInput
from quartet.artifacts.stop_requests import SIGNALS, Interrupted, ends_when_told
from quartet.params.shared import Runtime

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

END_SECONDS = 15  # after one process has ended, the others may take this long to save and end


def is_member() -> bool:
    """Whether `torchrun` has started this process, also by hand."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Whether this process writes results: the only one, or number 0 of several."""
    return os.environ.get("RANK", "0") == "0" or not is_member()


def wanted_processes(runtime: Runtime) -> int:
    """How many processes the settings want on this machine.

    Raises:
        BadInput: there are fewer GPUs.
    """
    import torch

    gpus = torch.cuda.device_count() if runtime.device in ("auto", "cuda") else 0
    if runtime.processes == "auto":
        return max(1, gpus)
    if gpus and int(runtime.processes) > gpus:
        raise BadInput(f"runtime.processes: found {runtime.processes}; each takes a GPU, and this machine has {gpus}")
    return int(runtime.processes)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Within the block, a process that is not the first prints nothing, logs nothing, and ends when it is told to."""
    os.environ["QUARTET_TRACKING"] = "off"
    with ends_when_told(), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def wants_others(runtime: Runtime) -> bool:
    """Whether this process is to start those that do the work."""
    return not is_member() and (runtime.processes != 1 or runtime.nodes > 1)


def launch(runtime: Runtime, module: str, arguments: list[str]) -> None:
    """Run `python -m module arguments` in several processes until all have ended.

    Raises:
        BadInput: as `wanted_processes`.
        ConnectionError: one of them failed without a word, or another machine did not come.
        SystemExit: one of them failed and has said why.
        Interrupted: they were asked to stop.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in logging.root.manager.loggerDict:
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what failed is said below
    count = wanted_processes(runtime)
    with _gpus(runtime, count), tempfile.TemporaryDirectory(prefix="quartet-processes-") as logs:
        os.environ[SAID] = f"{logs}/said"
        # What the first process says is everybody's; the others are heard if they fail.
        quiet = {place: Std.ALL for place in range(count) if place}
        config = LaunchConfig(
            min_nodes=runtime.nodes,
            max_nodes=runtime.nodes,
            nproc_per_node=count,
            run_id="quartet",
            rdzv_backend="c10d",
            rdzv_endpoint=runtime.rendezvous or "127.0.0.1:0",
            rdzv_configs={"join_timeout": max(1, round(runtime.process_timeout))},
            local_addr=None if runtime.rendezvous else "127.0.0.1",
            max_restarts=0,
            monitor_interval=0.1,
            shutdown_timeout=END_SECONDS,
            # One that is ignored, as SIGHUP is below `nohup`, stays so.
            signals_to_handle=",".join(each.name for each in SIGNALS if signal.getsignal(each) != signal.SIG_IGN),
            logs_specs=DefaultLogsSpecs(log_dir=logs, redirects=quiet),
        )
        try:
            elastic_launch(config, sys.executable)("-m", module, *arguments)
        except SignalException as stop:
            raise Interrupted(128 + stop.sigval) from None
        except RendezvousError as error:
            raise ConnectionError(
                f"runtime.rendezvous: not all of {runtime.nodes} machines came to {runtime.rendezvous}: {error}"
            ) from error
        except ChildFailedError as failed:
            _report(failed, Path(logs))


@contextlib.contextmanager
def _gpus(runtime: Runtime, count: int) -> Iterator[None]:
    """Wait for other trainings: two of several processes each would wait for the other's GPUs.

    The processes themselves would wait for a GPU, too, but no longer than `runtime.process_timeout`.
    """
    import torch

    from quartet.training.devices import gpu_names
    from quartet.training.gpu_locks import wait_for_gpus

    if runtime.device == "cpu" or not torch.cuda.is_available():
        yield
        return
    paths.locks().mkdir(parents=True, exist_ok=True)
    lock = FileLock(paths.locks() / "all-gpus.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("waiting for another training by several processes", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        wait_for_gpus(gpu_names(), count)
        yield
    finally:
        lock.release()


def _report(failed: "ChildFailedError", logs: Path) -> None:
    """End as the process that failed first, with what it said if nobody heard it."""
    number, first = failed.get_first_failure()
    killed = [(number, each) for number, each in failed.failures.items() if each.exitcode == -signal.SIGKILL]
    if killed:
        number, first = killed[0]
    elif Path(os.environ[SAID]).exists():  # the first process has said why
        raise SystemExit(max(1, first.exitcode))
    if first.exitcode < 0:
        how = f"was ended by {signal.Signals(-first.exitcode).name}"
        raise ConnectionError(f"process {number} (pid {first.pid}) {how}, and the others with it; run this again")
    said = [path.read_text(errors="replace") for path in logs.glob(f"**/{number}/stderr.log")]
    sys.stderr.write("".join(said) or f"process {number} failed with exit code {first.exitcode}\n")
    raise SystemExit(first.exitcode)
