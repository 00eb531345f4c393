"""Spread work that needs no gradients over the processes: each does every P-th part, and all get all results."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from safetensors.torch import load, save
from torch import Tensor

from quartet.training.parallel.collectives import exchanged
from quartet.training.parallel.share import members, place

Part = TypeVar("Part")
Results = tuple[Tensor, ...]


def spread(function: Callable[[Part], Results], parts: Iterable[Part], device: torch.device) -> list[Results]:
    """The results of each part, in the order of the parts, on the device.

    The parts are the same in every process, so the results are those of a single process.
    """
    if members() == 1:
        return [function(part) for part in parts]
    own: dict[str, Tensor] = {}
    count = 0
    for count, part in enumerate(parts, start=1):
        if (count - 1) % members() == place():
            results = function(part)
            own |= {f"{count - 1}.{number}": result.contiguous() for number, result in enumerate(results)}
    found: dict[int, dict[int, Tensor]] = {number: {} for number in range(count)}
    for data in exchanged(save(own) if own else b""):
        for name, result in (load(data) if data else {}).items():
            part_number, _, number = name.partition(".")
            found[int(part_number)][int(number)] = result.to(device)
    return [tuple(results[number] for number in sorted(results)) for results in found.values()]
