"""Sharded training: each process holds a part of the weights, gradients, optimizer state and averaged weights.

FSDP2 (Zhao et al. 2023, after ZeRO, Rajbhandari et al. 2020; torch's `fully_shard`) gathers a layer's weights for its
forward and backward pass, and leaves to each process its part of the summed gradients. `Whole` and `Sharded` hold a
network in either way; what both give and take are whole tensors, so that a checkpoint fits any number of processes.
"""

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn

from quartet.training.parallel.collectives import answered, largest
from quartet.training.parallel.share import processes, rank
from quartet.training.task import Task


def held_network(task: Task) -> "Whole | Sharded":
    """The network of a task, ready to be trained: whole, or sharded if the task says how and there are processes."""
    return Sharded(task.network, task.shards) if task.shards and processes() > 1 else Whole(task.network)


class Whole:
    """A network that is whole in every process.

    Attributes:
        network: that is trained.
    """

    is_sharded = False

    def __init__(self, network: nn.Module):
        self.network = network

    def copied(self, network: nn.Module) -> nn.Module:
        """A copy of the network."""
        return copy.deepcopy(network)

    @contextlib.contextmanager
    def whole(self, network: nn.Module) -> Iterator[nn.Module]:
        """The network or its copy, whole for the duration of the block."""
        yield network

    def gathered(self, tensors: Mapping[str, Tensor], *, copied: bool = True) -> dict[str, Tensor]:
        """The tensors, whole; those that the training goes on changing, unless they are copied."""
        return {name: tensor.detach().clone() if copied else tensor.detach() for name, tensor in tensors.items()}

    def own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What this process holds of the tensors."""
        return dict(tensors)

    def part(self, tensor: Tensor, like: Tensor) -> Tensor:
        """What this process holds of a whole tensor, as of `like`."""
        return tensor

    def load(self, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Load whole tensors into the network or its copy."""
        network.load_state_dict(tensors)

    def kept(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """What this process keeps of whole tensors that are not trained."""
        return tensors

    def agreed(self, number: int) -> int:
        """The number: no other process need have the same."""
        return number

    def end(self) -> None:
        """The training is over."""


class Sharded:
    """A network of which each process holds a part. All of them call the same methods in the same order.

    The network that it is made from stays, without weights but while it is `whole`.

    Args:
        network: on the device; the same in all processes.
        shards: the names of the layers whose weights are gathered together, each with those of its methods, besides
            `forward`, that others call; the network itself has the name "", and takes what no other layer has.

    Attributes:
        network: that is trained.
    """

    is_sharded = True

    def __init__(self, network: nn.Module, shards: Mapping[str, tuple[str, ...]]):
        # Imported here, since it takes half a second.
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        # The caches that blocks return are views, which nothing changes in place.
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
        weights = list(network.parameters())
        mesh = init_device_mesh(weights[0].device.type, (processes(),))
        self._empty = network
        self.network = _with_weights(network, weights)
        for name in sorted(shards, key=len, reverse=True):  # the network itself is the last
            layer: Any = self.network.get_submodule(name)
            fully_shard(layer, mesh=mesh)
            # Gradients are summed and not averaged: each process's loss is its share of the mean already.
            layer.set_gradient_divide_factor(1.0)
            layer.set_force_sum_reduction_for_comms(True)  # gloo has no other
            for method in shards[name]:
                register_fsdp_forward_method(layer, method)
        self._release()

    def copied(self, network: nn.Module) -> nn.Module:
        """A copy of the network, which holds weights but cannot be called."""
        weights = [nn.Parameter(weight.detach().clone(), weight.requires_grad) for weight in network.parameters()]
        return _with_weights(self._empty, weights)

    @contextlib.contextmanager
    def whole(self, network: nn.Module) -> Iterator[nn.Module]:
        """A network with the weights of this one or of its copy, whole for the duration of the block."""
        self._make_room()
        with torch.no_grad(), answered():
            found = network.state_dict()
            for name, tensor in self._empty.state_dict().items():
                tensor.copy_(whole_tensor(found[name]))
        try:
            yield self._empty
        finally:
            self._release()

    def gathered(self, tensors: Mapping[str, Tensor], *, copied: bool = True) -> dict[str, Tensor]:
        """Copies of the tensors in any case, whole, on the CPU of process 0; the others get none."""
        found = {}
        with torch.no_grad(), answered():
            for name in sorted(tensors):  # in any other order, the processes might wait for different ones
                whole = whole_tensor(tensors[name])  # one at a time, since all of them may not fit
                if rank() == 0:
                    found[name] = torch.empty_like(whole, device="cpu").copy_(whole)
        return found

    def own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What this process holds of the tensors."""
        return {name: _own(tensor) for name, tensor in tensors.items()}

    def part(self, tensor: Tensor, like: Tensor) -> Tensor:
        """What this process holds of a whole tensor, as of `like`."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(like, DTensor):
            return tensor
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)

    def load(self, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Load whole tensors into the network or its copy."""
        own = network.state_dict()
        network.load_state_dict({name: self.part(tensor, own[name]) for name, tensor in tensors.items()})

    def kept(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """What this process keeps of whole tensors that are not trained: the first one all, the others none."""
        return tensors if rank() == 0 else {}

    def agreed(self, number: int) -> int:
        """The largest of the processes' numbers."""
        return largest(int(number))[0]

    def end(self) -> None:
        """The training is over: the first network gets room for the weights that are kept."""
        self._make_room()

    def _make_room(self) -> None:
        for empty, weight in zip(self._empty.parameters(), self.network.parameters(), strict=True):
            empty.data = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)

    def _release(self) -> None:
        for weight in self._empty.parameters():
            weight.data = weight.data.new_empty(0)


def _with_weights(network: nn.Module, weights: list[nn.Parameter]) -> nn.Module:
    """A copy of a network that has these weights, in the order of its own."""
    return copy.deepcopy(network, dict(zip(map(id, network.parameters()), weights, strict=True)))


def whole_tensor(tensor: Any) -> Tensor:
    """The tensor, gathered if it is in parts."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _own(tensor: Any) -> Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


@contextlib.contextmanager
def exchanging() -> Iterator[None]:
    """Within the block, layers are gathered, and each process waits for the others.

    Raises:
        LostProcess, SystemExit: as `answered`.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise  # it has nothing to do with other processes
        with answered():
            raise
