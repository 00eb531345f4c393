"""CUDA graphs: record a training step once and replay it, so that the GPU does not wait for Python.

A step of a small network is a thousand kernels of a few microseconds each. Python takes many times longer to start them
one by one than the GPU takes to run them.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from quartet.training.task import Batch

WARM_UP = 3  # calls before recording, in which libraries choose their kernels and optimizers create their state


class ReplayedStep:
    """A step that reads batches and changes weights in place; from the fourth call on, a recording is replayed.

    A recording always reads and writes the same memory, so batches are copied to where it expects them. For batches of
    other shapes than the recorded ones, the step itself runs. Random numbers come from `generator` and torch's default
    generator, which the caller seeds before each call.

    Args:
        step: a function from batches to a tensor. It must not branch on values, since a recording cannot.
        generator: the generator that the step uses.
    """

    def __init__(self, step: Callable[[Iterable[Batch]], Tensor], generator: torch.Generator):
        self.step, self.generator = step, generator
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Batch] = []
        self._result = torch.empty(0)

    def __call__(self, batches: Iterable[Batch]) -> Tensor:
        """Run or replay the step."""
        batches = list(batches)
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._run_on_side_stream(batches)
        if self._graph is None:
            self._graph = self._recorded(batches)
        if [_shapes(batch) for batch in batches] != [_shapes(batch) for batch in self._inputs]:
            return self.step(batches)
        for expected, batch in zip(self._inputs, batches, strict=True):
            for place, tensor in zip(expected, batch, strict=True):
                place.copy_(tensor)
        self._graph.replay()
        return self._result

    def _run_on_side_stream(self, batches: list[Batch]) -> Tensor:
        """Run the step on a separate stream, which CUDA graphs require of the calls before a recording."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            result = self.step(batches)
        torch.cuda.current_stream().wait_stream(side)
        return result

    def _recorded(self, batches: list[Batch]) -> torch.cuda.CUDAGraph:
        self._inputs = [tuple(tensor.clone() for tensor in batch) for batch in batches]
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph):
            self._result = self.step(self._inputs)
        return graph


def _shapes(batch: Batch) -> list[torch.Size]:
    return [tensor.shape for tensor in batch]
