"""Watch the numbers of a training: which step's loss or gradient is the first that is not finite.

On a CPU this is known before the weights change. A GPU runs behind Python, which would have to wait for each number:
there the steps themselves count how many were fine, and Python looks at a copy of these counts from time to time.
"""

import math
import time
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from quartet.params.shared import Training

LOOK_SECONDS = 1.0  # between two looks at the counts of a GPU
WATCHED = ("loss", "gradient norm")
PARTS = {
    "network": "the weights are",
    "average": "the averaged weights are",
    "optimizers": "the optimizer's state is",
    "kept": "the kept weights are",
    "sum": "the loss is",
}


class Diverged(FloatingPointError):
    """Numbers of a training are no longer finite.

    Args:
        step: the number of the step after which they were not, from 1 on.
        what: is not finite, with its verb, such as `the loss is`.
        of_batch: whether the step's batch may be the cause.
    """

    def __init__(self, step: int, what: str, *, of_batch: bool = False):
        super().__init__(f"{what} not finite at step {step}")
        self.step, self.of_batch = step, of_batch


class Watch:
    """Watches the loss and the gradient norm of every step.

    Args:
        device: where the steps run.
        begun: the number of steps before the first one.
    """

    def __init__(self, device: torch.device, begun: int = 0):
        self._begun, self._knows_at_once = begun, knows_at_once(device)
        self._found: str | None = None
        # Of a GPU: what is zero until a number is not finite, then NaN; and the number of steps with zero.
        self._spoiled = torch.zeros(len(WATCHED), device=device)
        self._fine = torch.zeros(len(WATCHED), dtype=torch.int64, device=device)
        on_cuda = device.type == "cuda"
        self._copy = torch.zeros(len(WATCHED), dtype=torch.int64, pin_memory=on_cuda)
        self._copied = torch.cuda.Event() if on_cuda else None
        self._copied_after: int | None = None  # steps
        self._looked = time.monotonic()

    def knows(self, what: str, number: Tensor) -> bool:
        """Whether this number is known not to be finite; of a GPU, nothing is."""
        if self._knows_at_once and not math.isfinite(number.item()):
            self._found = what
            return True
        return False

    def count(self, loss: Tensor, gradient_norm: Tensor) -> None:
        """Count a step on a GPU, as a part of it."""
        if not self._knows_at_once:
            numbers = torch.stack((loss, gradient_norm))
            self._spoiled += numbers - numbers
            self._fine += self._spoiled == 0

    def check(self, taken: int, *, wait: bool = False) -> None:
        """Check all steps, of which `taken` were taken, or, if a GPU is not to be waited for, those that it counted.

        Raises:
            Diverged: the loss or the gradient norm of one of them is not finite.
        """
        if self._found:
            raise Diverged(taken, f"the {self._found} is", of_batch=True)
        if self._knows_at_once:
            return
        if wait:
            self._judge(self._fine.tolist(), taken)
        elif self._copied_after is None:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                self._copy.copy_(self._fine, non_blocking=self._copied is not None)
                self._copied_after = taken
                if self._copied:
                    self._copied.record()
        elif self._copied is None or self._copied.query():
            counted, self._copied_after, self._looked = self._copied_after, None, time.monotonic()
            self._judge(self._copy.tolist(), counted)

    def _judge(self, fine: list[int], taken: int) -> None:
        first = min(fine)
        if first < taken - self._begun:
            what = WATCHED[fine.index(first)]  # a loss spoils its gradient, so it is named first
            raise Diverged(self._begun + first + 1, f"the {what} is", of_batch=True)


def knows_at_once(device: torch.device) -> bool:
    """Whether Python need not wait for the device to know a number."""
    return device.type == "cpu"


def what_is_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Which part of a training's state, by the prefixes of its tensors, has numbers that are not finite."""
    floating = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    # Gathered on the GPU if there is one, so that it is waited for once.
    place = max((tensor.device for tensor in floating.values()), key=lambda device: device.type != "cpu")
    finite = torch.stack([tensor.isfinite().all().to(place) for tensor in floating.values()]).tolist()
    spoiled = next((name for name, is_finite in zip(floating, finite, strict=True) if not is_finite), None)
    return PARTS[spoiled.partition(".")[0]] if spoiled else None


def is_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every number of these tensors is finite."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors if tensor.is_floating_point())


def advice(settings: Training) -> str:
    """What to change if a training diverges."""
    clip = f"lower clip ({settings.clip:g})" if settings.clip else "set clip"
    return f"lower learning_rate ({settings.learning_rate:g}), raise warmup or {clip}"
