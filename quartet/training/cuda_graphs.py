"""CUDA graphs: a training step recorded once and replayed, so that a GPU does not wait for Python.

A step of a small network is a thousand kernels of a few microseconds each; starting them one by one takes Python many
times as long as the GPU takes to run them.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

WARM_UP = 3  # calls as they are, in which libraries choose their kernels and optimizers make their state

Batch = tuple[Tensor, ...]  # whatever a task's functions understand


class Replayed:
    """A step that reads batches and changes weights in place; from its fourth call on it is a recording.

    A recording reads and writes the same memory each time, so batches are copied to where it expects them. Batches of
    other shapes than those recorded take the step as it is. Random numbers come from `generator` and from torch's
    default one as they are seeded before each call.

    Args:
        step: a function of batches, whose result is a tensor. It must not look at values, since a recording cannot.
        generator: that the step draws from.
    """

    def __init__(self, step: Callable[[Iterable[Batch]], Tensor], generator: torch.Generator):
        self.step, self.generator = step, generator
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Batch] = []
        self._result = torch.empty(0)

    def __call__(self, batches: Iterable[Batch]) -> Tensor:
        """Take the step."""
        batches = list(batches)
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._aside(batches)
        if self._graph is None:
            self._graph = self._recording_of(batches)
        if [_shapes(batch) for batch in batches] != [_shapes(batch) for batch in self._inputs]:
            return self.step(batches)
        for expected, batch in zip(self._inputs, batches, strict=True):
            for place, tensor in zip(expected, batch, strict=True):
                place.copy_(tensor)
        self._graph.replay()
        return self._result

    def _aside(self, batches: list[Batch]) -> Tensor:
        """Take the step on a stream of its own, which recording asks of all that comes before it."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            result = self.step(batches)
        torch.cuda.current_stream().wait_stream(aside)
        return result

    def _recording_of(self, batches: list[Batch]) -> torch.cuda.CUDAGraph:
        self._inputs = [tuple(tensor.clone() for tensor in batch) for batch in batches]
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph):
            self._result = self.step(self._inputs)
        return graph


def _shapes(batch: Batch) -> list[torch.Size]:
    return [tensor.shape for tensor in batch]
