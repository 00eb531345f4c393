"""What the processes of a training say to each other: sums of gradients, stop requests, and the state to begin with.

Messages on the CPU go by gloo, those on GPUs by NCCL.
"""

import contextlib
import datetime
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from safetensors.torch import load, save
from torch import Tensor, distributed

from quartet.training.checkpoints import Progress
from quartet.training.parallel.share import members, place, take_whole_batches

ANSWER_SECONDS = 3.0  # within which a process that is alive says that it, too, waits for another one
ERROR_SECONDS = 90.0  # that a process may take to say why it ends
_stores: list[distributed.Store] = []  # of the running group, at most one


class LostProcess(ConnectionError):
    """Another process of the training has died or hangs."""


@contextlib.contextmanager
def joined(device: torch.device, timeout: float, *, whole_batches: bool = False) -> Iterator[None]:
    """Work together with the other processes that `torchrun` started, for the duration of the block.

    Args:
        device: of this process.
        timeout: seconds after which a process that does not answer is lost.
        whole_batches: each process trains by itself, if it trains at all; only what is `spread` is shared.
    """
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    wait = datetime.timedelta(seconds=timeout)
    try:
        store, own, count = next(distributed.rendezvous("env://", timeout=wait))
        distributed.init_process_group(backend, store=store, rank=own, world_size=count, timeout=wait)
        store.set(f"process/{own}", f"{_machine()} {os.getpid()}")
    except RuntimeError as error:
        raise ConnectionError(f"not all processes came within {timeout:g} s (runtime.process_timeout)") from error
    _stores.append(store)
    take_whole_batches(whole_batches)
    try:
        yield
    except BaseException:
        with contextlib.suppress(RuntimeError):
            store.set(f"ends/{own}", "")  # so that nobody takes it for lost while it says why
        raise
    finally:
        take_whole_batches(False)
        _stores.clear()
        distributed.destroy_process_group()


def meeting_place() -> distributed.Store:
    """Where the processes met; it outlives each of them."""
    return _stores[0]


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Within the block, the processes wait for each other.

    Raises:
        LostProcess: one of them does not come; the message names it.
        SystemExit: as `LostProcess`, where a process of a lower number raises that.
    """
    try:
        yield
    except RuntimeError as error:
        if _is_out_of_memory(error):
            raise
        try:
            lost, speaks = _lost_processes()
        except RuntimeError:  # so is the machine where they met
            lost, speaks = [], True
        if not speaks:
            raise SystemExit(1) from error
        who = f"process {', '.join(lost)} of {members()} (the first is 0) died or hangs"
        what = who if lost else "the processes lost their connection"
        raise LostProcess(f"{what}; the same command goes on from the last checkpoint") from error


def _lost_processes() -> tuple[list[str], bool]:
    """The numbers of the processes that do not wait as this one does, and whether it is this one that says so.

    Those of this machine are ended. If one ends with an error of its own, this waits until it has said it.
    """
    store, own = _stores[0], place()
    store.set(f"waits/{own}", "")
    time.sleep(ANSWER_SECONDS)
    if any(store.check([f"ends/{other}"]) for other in range(members())):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which comes when the other has ended
        time.sleep(ERROR_SECONDS)
    waiting = [other for other in range(members()) if store.check([f"waits/{other}"])]
    lost = [str(other) for other in range(members()) if other not in waiting]
    for other in lost:
        if store.check([f"process/{other}"]):
            machine, pid = store.get(f"process/{other}").decode().split()
            if machine == _machine():
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
    return lost, own == min(waiting)


def _machine() -> str:
    """The number of this machine among those that train together."""
    return os.environ.get("GROUP_RANK", "0")


def sum_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes; all of one type, on one device."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])  # one message is faster than many
    with answered():
        distributed.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view(tensor.shape))


def total(number: Tensor) -> Tensor:
    """The sum of a number over all processes."""
    summed = number.clone()
    with answered():
        distributed.all_reduce(summed)
    return summed


def largest(*numbers: int) -> list[int]:
    """The largest of the processes' numbers, in each place."""
    shared = torch.tensor(numbers)
    with answered():
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return shared.tolist()


def gathered(rows: Tensor) -> Tensor:
    """The rows of the global batch in their order, from every process's own, which are equally many."""
    parts = [torch.empty_like(rows) for _ in range(members())]
    with answered():
        distributed.all_gather(parts, rows.contiguous())
    return torch.stack(parts, dim=1).flatten(0, 1)


def of_first(state: Progress | None) -> Progress | None:
    """The state of process 0, in every process."""
    tensors = save({name: tensor.contiguous() for name, tensor in state.tensors.items()}) if state else b""
    tensors, values = _broadcast(tensors), json.loads(_broadcast(json.dumps(state and state.values).encode()))
    return Progress(load(tensors), values) if values is not None else None


def number_of_first(number: int) -> int:
    """The number of process 0, in every process."""
    return int(_broadcast(str(number).encode()))


def check_same(what: Mapping[str, object]) -> None:
    """Check that all processes have the same of everything that determines the result.

    Raises:
        ValueError: this one has something that is not that of process 0; the message names it.
    """
    first = json.loads(_broadcast(json.dumps(what).encode()))
    others = [name for name, own in json.loads(json.dumps(what)).items() if first.get(name) != own]
    if others:
        raise ValueError(
            f"process {place()} of {members()} differs from process 0 in its {' and '.join(others)}; bring the "
            "machines to the same state (`git pull`, `dvc pull`, `make setup`), also in `runtime.threads`"
        )


def exchanged(data: bytes) -> list[bytes]:
    """What each process has, in their order."""
    return [_broadcast(data, source) for source in range(members())]


def _broadcast(data: bytes, source: int = 0) -> bytes:
    """The bytes of one process."""
    size = torch.tensor(len(data))
    with answered():
        distributed.broadcast(size, source)
        if not int(size):
            return b""
        if place() == source:
            shared = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        else:
            shared = torch.empty(int(size), dtype=torch.uint8)
        distributed.broadcast(shared, source)
    return shared.numpy().tobytes()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
