"""How many processes there are, and which rows of a batch belong to this one.

Process r of P takes the rows r, r + P, r + 2 P, … of the global batch. Whatever is random is drawn for the global batch
by every process, which then takes its rows, so that an example gets the same numbers however many processes there are.

A training asks for `processes` and `rank`. An evaluation spreads its test data over the same processes, `members` and
`place`, but a judge that it trains is trained by each process for itself, on whole batches: there, `processes` is 1.
"""

from typing import TypeVar

import torch
from torch import Tensor, distributed

Rows = TypeVar("Rows", Tensor, tuple[Tensor, ...])
_whole_batches = [False]  # of the group that runs


def members() -> int:
    """The number of processes that work together; 1 unless torch.distributed runs."""
    return distributed.get_world_size() if _is_running() else 1


def place() -> int:
    """The number of this process among them, from 0 on."""
    return distributed.get_rank() if _is_running() else 0


def processes() -> int:
    """The number of processes that share each batch."""
    return 1 if _whole_batches[0] else members()


def rank() -> int:
    """The number of this process among those that share each batch."""
    return 0 if _whole_batches[0] else place()


def take_whole_batches(whole: bool) -> None:
    """Say whether a training in this group is each process's own affair; all of them still run it, in step."""
    _whole_batches[0] = whole


def own_places(count: int) -> slice:
    """The places of this process's rows among `count`: at least one, the first one where there are too few."""
    return slice(rank() if rank() < count else 0, None, processes())


def own_rows(whole: Rows, dimension: int = 0) -> Rows:
    """This process's rows of a tensor, or of each tensor in a tuple; all of them, unchanged, if it is the only one."""
    if processes() == 1:
        return whole
    if isinstance(whole, tuple):
        return tuple(own_rows(tensor, dimension) for tensor in whole)
    places = torch.arange(whole.shape[dimension], device=whole.device)[own_places(whole.shape[dimension])]
    return whole.index_select(dimension, places)


def own_count(count: int) -> int:
    """How many rows of a batch of `count` are this process's own; 0 if there are too few for all processes."""
    return len(range(rank(), count, processes()))


def _is_running() -> bool:
    return distributed.is_available() and distributed.is_initialized()
