"""Where to compute."""

import os

import torch

from quartet.params.sections import Runtime


def pick_device(runtime: Runtime) -> torch.device:
    """The device that the settings name, and torch's threads as they say.

    Raises:
        ValueError: the named device is not there.
    """
    # cuBLAS is deterministic only with a fixed workspace, which it reads when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if runtime.device == "auto":
        return torch.device("cuda" if present["cuda"] else "cpu")
    if not present[runtime.device]:
        there = ", ".join(name for name, is_there in present.items() if is_there)
        raise ValueError(f"runtime.device: {runtime.device} is not there; this machine has {there}")
    return torch.device(runtime.device)
