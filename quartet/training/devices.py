"""Choose the device to compute on."""

import functools
import os

import torch

from quartet.params.shared import Runtime
from quartet.training.gpu_locks import lock_gpu

_threads: list[int] = []  # of all processes on this machine together, if there are several


def pick_device(runtime: Runtime) -> torch.device:
    """Pick the device and set torch's threads, as the settings say; a GPU is locked for this process.

    Raises:
        ValueError: this machine does not have the device.
    """
    # cuBLAS is deterministic only with a fixed workspace; it reads this variable when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _set_threads(runtime.threads)
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = runtime.device if runtime.device != "auto" else "cuda" if present["cuda"] else "cpu"
    if not present[kind]:
        there = ", ".join(name for name, is_there in present.items() if is_there)
        raise ValueError(f"runtime.device: found {runtime.device}; this machine has {there}")
    if kind != "cuda":
        return torch.device(kind)
    device = torch.device("cuda", lock_gpu(gpu_names()))
    torch.cuda.set_device(device)
    return device


def gpu_names() -> list[str]:
    """The names of this machine's GPUs, which are theirs wherever they are."""
    return [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]


def _set_threads(wanted: int | None) -> None:
    """Set torch's threads; processes that `torchrun` started share the threads of the machine."""
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if together > 1:
        _threads[:] = [wanted or torch.get_num_threads()]
        torch.set_num_threads(max(1, _threads[0] // together))
    elif wanted is not None:
        torch.set_num_threads(wanted)


def describe_device(device: torch.device) -> str:
    """Describe the device in enough detail that equal descriptions give equal bytes, with equally many processes."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        threads = _threads[0] if _threads else torch.get_num_threads()
        return f"cpu, {torch.backends.cpu.get_cpu_capability()}, {threads} threads"
    return device.type


@functools.cache
def is_fast_in_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32.

    CPUs without bfloat16 instructions emulate them at a seventieth of the speed.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # This function is new in torch 2.12.
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False
