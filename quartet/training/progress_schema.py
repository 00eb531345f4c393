"""Whether a saved state has everything that a training needs to go on, before any of it is used."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from quartet.training.checkpoints import Progress
from quartet.training.standing_still import recorded_losses

PREFIXES = ("network", "average", "optimizers", "kept", "sum", "good")


def by_prefix(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a state by the part that they belong to, such as `network`, and their names in it.

    Raises:
        ValueError: one belongs to no part.
    """
    parts: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in PREFIXES}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition(".")
        if prefix not in parts:
            raise ValueError(f"it has the unknown tensor {name}")
        parts[prefix][rest] = tensor
    return parts


def check_progress(
    saved: Progress, network: nn.Module, optimizers: Sequence[Optimizer], *, goes_back: bool = False
) -> None:
    """Check that a saved state fits a network and its optimizers.

    Args:
        goes_back: whether it must hold the state to go back to.

    Raises:
        ValueError: a value or tensor is missing or has another type or shape.
    """
    _check_values(saved.values)
    parts, expected = by_prefix(saved.tensors), network.state_dict()
    _check_same("network", parts["network"], expected)
    _check_same("average", parts["average"], expected)
    _check_same("kept", parts["kept"], expected if saved.values["kept"] else {})
    _check_sums(parts["sum"], saved.values["steps"])
    _check_optimizers(parts["optimizers"], optimizers, saved.values["step"])
    if goes_back != ("good" in saved.values):
        raise ValueError(f"progress.json {'lacks' if goes_back else 'has'} a state to go back to")
    if goes_back:
        check_progress(Progress(parts["good"], saved.values["good"]), network, optimizers)


def _check_sums(sums: Mapping[str, Tensor], steps: int) -> None:
    if set(sums) != {"loss", "first"} or sums["loss"].shape != () or sums["first"].shape != (recorded_losses(steps),):
        raise ValueError("it has no sum of losses, or not the first ones")


def _check_values(values: Any) -> None:
    if not isinstance(values, dict) or not {"step", "steps", "history", "kept", "rollbacks", "processes"} <= set(
        values
    ):
        raise ValueError("progress.json lacks a key")
    step, steps, history, kept = (values[name] for name in ("step", "steps", "history", "kept"))
    if type(step) is not int or type(steps) is not int or not 0 <= step <= steps or steps < 1:
        raise ValueError(f"progress.json: found step {step!r} of {steps!r}")
    back = values["rollbacks"]
    if not isinstance(back, list) or not all(type(to) is int and 0 <= to <= steps for to in back):
        raise ValueError(f"progress.json: found rollbacks {back!r}")
    if not isinstance(history, list) or not all(map(_is_row, history)) or (kept and kept not in history):
        raise ValueError("progress.json: a row of the history is not one")
    if bool(kept) != bool(history) or any(list(row) != list(history[0]) for row in history):
        raise ValueError("progress.json: the rows of the history do not fit together")


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and {"step", "training_loss", "validation_score"} <= set(row)
        and all(type(value) in (int, float) and math.isfinite(value) for value in row.values())
    )


def _check_same(part: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name in sorted(found.keys() ^ expected.keys()):
        raise ValueError(f"{part}.{name} is {'missing' if name in expected else 'unknown'}")
    for name, tensor in expected.items():
        if (found[name].shape, found[name].dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{part}.{name} has another shape or type")


def _check_optimizers(tensors: Mapping[str, Tensor], optimizers: Sequence[Optimizer], step: int) -> None:
    """Each parameter of an optimizer has the same kinds of tensors, each a number or of the parameter's size."""
    kinds: dict[tuple[int, int], set[str]] = defaultdict(set)
    parameters = [[p for group in optimizer.param_groups for p in group["params"]] for optimizer in optimizers]
    for key, tensor in tensors.items():
        owner, _, rest = key.partition(".")
        index, _, name = rest.partition(".")
        if not (owner.isdecimal() and index.isdecimal() and int(owner) < len(parameters)):
            raise ValueError(f"optimizers.{key} belongs to no optimizer")
        if int(index) >= len(parameters[int(owner)]):
            raise ValueError(f"optimizers.{key} belongs to no parameter")
        if tensor.numel() not in (1, parameters[int(owner)][int(index)].numel()):
            raise ValueError(f"optimizers.{key} has another size")
        kinds[int(owner), int(index)].add(name)
    for number, own in enumerate(parameters):
        found = [names for (belongs_to, _), names in kinds.items() if belongs_to == number]
        if any(names != found[0] for names in found) or (step and own and not found):
            raise ValueError(f"a tensor of optimizer {number} is missing")
