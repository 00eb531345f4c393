"""Count the memory of tensors while they live, on any device."""

import gc
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of the storages that operations make in this context, each once, until it is freed.

    What an operation takes for itself and gives back before it ends is not seen, nor is what an allocator keeps.

    Attributes:
        live: bytes that live now.
        peak: the most that lived at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref] = {}  # by the address of the storage, which is unique while it lives

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and note which storages it made."""
        for tensor in _tensors(tree_leaves((args, kwargs))):
            self._note(tensor, 0)  # was there before, or is counted already
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(tree_leaves(result)):
            self._note(tensor, tensor.untyped_storage().nbytes())
        self.peak = max(self.peak, self.live)
        return result

    def _note(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self._known:
            return

        def forget(_: object) -> None:
            self.live -= size
            del self._known[address]

        self._known[address] = weakref.ref(storage, forget)
        self.live += size


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages of tensors, each storage once."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


def tensors_in_memory() -> list[Tensor]:
    """Every tensor that Python knows of."""
    # By type, since asking an object for its class may run code of a lazily loaded module.
    return [each for each in gc.get_objects() if issubclass(type(each), Tensor) and each.layout is torch.strided]


def _tensors(leaves: list[Any]) -> list[Tensor]:
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.layout is torch.strided]
