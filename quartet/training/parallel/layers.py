"""Layers whose result depends on the whole batch, or on random numbers, for batches that several processes share.

`share_layers` turns a network's own layers into these, in place. In evaluation, and if there is one process, they
compute what torch's do; in training, they compute what torch's would on the global batch, up to rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from quartet.artifacts.errors import BadInput
from quartet.training.parallel.collectives import gathered, sum_over_processes
from quartet.training.parallel.share import own_count, own_places, own_rows, processes

_batch: list[int] = [0]  # rows of the current global batch


def begin_batch(rows: int) -> None:
    """Say how many rows the global batch has that comes next."""
    _batch[0] = rows


def share_layers(network: nn.Module) -> None:
    """Make the layers of a network ready for batches of which each process has a part.

    Raises:
        BadInput: a layer has no such form.
    """
    for name, module in network.named_modules():
        kind = type(module)
        if kind in SHARED:
            module.__class__ = SHARED[kind]
        elif isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d) or kind.__name__ == "StochasticDepth":
            module.__class__ = type(f"Shared{kind.__name__}", (SharedNoise, kind), {})
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) or (
            isinstance(module, nn.MultiheadAttention) and module.dropout
        ):
            raise BadInput(
                f"runtime.processes: {name} is a {kind.__name__}, which several processes cannot share; set "
                "runtime.processes to 1"
            )


class SharedNoise(nn.Module):
    """Dropout (Srivastava et al. 2014) and its kin, whose noise belongs to the example's place in the global batch.

    Stands before a class that multiplies its inputs by noise. The dimension of the batch is the attribute
    `batch_dimension`, or 0.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs times noise, in training."""
        if not self.training or processes() == 1:
            return super().forward(inputs)  # of the class that comes after this one
        dimension = getattr(self, "batch_dimension", 0)
        noise = super().forward(_ones(inputs, dimension))
        return inputs * own_rows(noise, dimension)


def _ones(inputs: Tensor, dimension: int) -> Tensor:
    """Ones for the global batch, in the memory order of `inputs`, in which random numbers come."""
    shape = list(inputs.shape)
    shape[dimension] = _batch[0]
    strides = inputs.stride()
    order = sorted(range(inputs.ndim), key=lambda each: (-strides[each], -inputs.shape[each]))
    ones = inputs.new_ones([shape[each] for each in order])
    return ones.permute([order.index(each) for each in range(inputs.ndim)])


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation (Ioffe & Szegedy 2015) by the mean and variance of the global batch."""

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, channels, height, width)`, normalised."""
        if not self.training or processes() == 1:
            return super().forward(input)
        inputs = input.float()
        count = inputs.new_tensor([inputs.numel() / inputs.shape[1]])
        sums = torch.cat([inputs.sum(dim=(0, 2, 3)), count])
        if not own_count(_batch[0]):
            sums = sums * 0  # it has no example of its own
        sums = _Summed.apply(sums)
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        # Of differences to the mean, since the difference of two large sums would lose digits.
        centred = inputs - mean.view(1, -1, 1, 1)
        squares = centred.square().sum(dim=(0, 2, 3)) * bool(own_count(_batch[0]))
        variance = _Summed.apply(squares) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.detach(), share)
                self.running_var.lerp_(variance.detach() * count / (count - 1), share)
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        output = centred * scale.view(1, -1, 1, 1)
        if self.affine:
            output = output + self.bias.view(1, -1, 1, 1)
        return output.to(input.dtype)


class _Summed(torch.autograd.Function):
    """The sum over all processes. Each one's loss depends on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        whole = part.clone()
        sum_over_processes([whole])
        return whole

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        sum_over_processes([gradient])
        return gradient


class _SharedRecurrent(nn.RNNBase):
    """Recurrent layers whose dropout, between them, belongs to the example's place in the global batch.

    torch's module draws it inside; here, each layer is called by itself.
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As torch's module: a packed or, batch first, a padded sequence, from a zero state."""
        if not self.training or not self.dropout or self.num_layers == 1 or processes() == 1:
            return super().forward(input, hx)
        if hx is not None:
            raise ValueError("recurrent layers that several processes share begin with a zero state")
        states, final = input, []
        for number in range(self.num_layers):
            if number:
                states = self._dropped(states)
            states, last = self._layer(number)(states)
            final.append(last)
        if isinstance(final[0], tuple):  # of an LSTM
            return states, tuple(torch.cat(parts) for parts in zip(*final, strict=True))
        return states, torch.cat(final)

    def _layer(self, number: int) -> nn.RNNBase:
        """One layer as a module of its own, with the weights of this one."""
        directions = 2 if self.bidirectional else 1
        kind: Any = type(self).__mro__[2]  # torch's
        with torch.device("meta"):  # its own weights need no memory
            layer = kind(
                self.hidden_size * directions if number else self.input_size,
                self.hidden_size,
                batch_first=self.batch_first,
                bidirectional=self.bidirectional,
            )
        names = [name.replace("_l0", f"_l{number}") for name in layer._flat_weights_names]
        layer._flat_weights = [getattr(self, name) for name in names]
        return layer

    def _dropped(self, states: Any) -> Any:
        if isinstance(states, PackedSequence):
            return states._replace(data=states.data * self._packed_noise(states))
        # torch's layers work with the steps first, and draw noise in that order.
        noise = F.dropout(_ones(states.transpose(0, 1), 1), self.dropout)  # (steps, global batch, states)
        return states * own_rows(noise, 1).transpose(0, 1)

    def _packed_noise(self, states: PackedSequence) -> Tensor:
        """The noise for the data of a packed sequence, `(steps of all sequences, states)`."""
        lengths = _of_global_batch(_lengths(states))
        sorted_lengths, order = torch.sort(lengths, descending=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        active = (sorted_lengths[:, None] > torch.arange(int(lengths.max()))).sum(0)  # sequences at each step
        starts = active.cumsum(0) - active
        noise = F.dropout(states.data.new_ones(int(lengths.sum()), states.data.shape[1]), self.dropout)
        own = torch.arange(len(lengths))[own_places(len(lengths))]
        own = own[states.sorted_indices.cpu()] if states.sorted_indices is not None else own
        rows = [place[own[:count]] + start for count, start in zip(states.batch_sizes.tolist(), starts, strict=False)]
        return noise[torch.cat(rows).to(noise.device)]


def _lengths(packed: PackedSequence) -> Tensor:
    """The lengths of packed sequences in their original order, on the CPU."""
    sizes = packed.batch_sizes
    of_sorted = (sizes[None, :] > torch.arange(int(sizes[0]))[:, None]).sum(1)
    return of_sorted if packed.unsorted_indices is None else of_sorted[packed.unsorted_indices.cpu()]


def _of_global_batch(own: Tensor) -> Tensor:
    """The lengths of all sequences of the global batch, in their order."""
    padded = torch.zeros(-(-_batch[0] // processes()), dtype=own.dtype)
    padded[: len(own)] = own
    return gathered(padded)[: _batch[0]]


class SharedRnn(_SharedRecurrent, nn.RNN):
    """As `nn.RNN`."""


class SharedLstm(_SharedRecurrent, nn.LSTM):
    """As `nn.LSTM`."""


class SharedGru(_SharedRecurrent, nn.GRU):
    """As `nn.GRU`."""


SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: SharedBatchNorm2d,
    nn.RNN: SharedRnn,
    nn.LSTM: SharedLstm,
    nn.GRU: SharedGru,
}
