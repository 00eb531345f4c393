"""minGRU (Feng et al. 2024): a gated recurrent unit whose gate and candidate depend only on the input.

    z_t = σ(W_z x_t + b_z)              update gate
    n_t = W_n x_t + b_n                 candidate
    h_t = (1 − z_t) ⊙ h_{t-1} + z_t ⊙ n_t

Only the last line depends on the past. So all gates of a sequence are computed at once, and the elementwise linear
recurrence h_t = a_t ⊙ h_{t-1} + b_t remains.
"""

from typing import Any

import torch
from torch import Tensor, nn


class MinGru(nn.Module):
    """A stack of minGRU layers with the interface of torch's recurrent modules.

    Args:
        input_size: features per step.
        hidden_size: units per layer and direction.
        num_layers: stacked layers.
        bidirectional: read the sequence in both directions.
        dropout: between layers.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        batch_first: bool = True,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        if not batch_first:
            raise ValueError("MinGru takes (batch, steps, features): batch_first must be true")
        self.input_size, self.hidden_size = input_size, hidden_size
        directions = 2 if bidirectional else 1
        sizes = [input_size] + [hidden_size * directions] * (num_layers - 1)
        self.layers = nn.ModuleList(
            nn.ModuleList(MinGruLayer(size, hidden_size, backward=way == 1) for way in range(directions))
            for size in sizes
        )
        self.dropout = TimeMajorDropout(dropout)

    def forward(self, sequences: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, None]:
        """`(batch, steps, features)` to the last layer's states, `(batch, steps, directions · hidden)`.

        `lengths` `(batch,)` are the lengths of the sequences; states after the end are zero.
        """
        states = sequences.transpose(0, 1)  # time-major: (steps, batch, features)
        inside = None
        if lengths is not None:
            inside = (torch.arange(len(states), device=states.device)[:, None] < lengths)[
                ..., None
            ]  # (steps, batch, 1)
        for number, ways in enumerate(self.layers):
            if number:
                states = self.dropout(states)
            states = torch.cat([way(states, inside) for way in ways.children()], dim=2)
        return states.transpose(0, 1), None


class TimeMajorDropout(nn.Dropout):
    """Dropout of `(steps, batch, …)`."""

    batch_dimension = 1  # for processes that share a batch


class MinGruLayer(nn.Module):
    """One layer in one direction."""

    def __init__(self, inputs: int, hidden_size: int, *, backward: bool = False):
        super().__init__()
        self.gate_and_candidate = nn.Linear(inputs, 2 * hidden_size)
        self.backward_in_time = backward

    def forward(self, inputs: Tensor, inside: Tensor | None = None) -> Tensor:
        """`(steps, batch, inputs)` to states `(steps, batch, hidden)`; the initial state is zero.

        Where `inside` `(steps, batch, 1)` is false, the state is zero.
        """
        # Matrix products may be in half precision, but the recurrence accumulates over the steps in float32.
        gate, candidate = self.gate_and_candidate(inputs).float().chunk(2, dim=2)
        update = gate.sigmoid()
        decay, drive = 1 - update, update * candidate
        if inside is not None:
            decay, drive = decay * inside, drive * inside
        if self.backward_in_time:
            return linear_recurrence(decay.flip(0), drive.flip(0)).flip(0)
        return linear_recurrence(decay, drive)


def linear_recurrence(decay: Tensor, drive: Tensor) -> Tensor:
    """h_t = decay_t ⊙ h_{t-1} + drive_t with h_{-1} = 0, along the first dimension of `(steps, batch, hidden)`."""
    return _LinearRecurrence.apply(decay.contiguous(), drive.contiguous())


class _LinearRecurrence(torch.autograd.Function):
    """The gradient of a linear recurrence is the same recurrence backwards: g_t = ∂h_t + decay_{t+1} ⊙ g_{t+1}."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, drive: Tensor) -> Tensor:
        states = _solve(decay, drive)
        ctx.save_for_backward(decay, states)
        return states

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        decay, states = ctx.saved_tensors
        to_drive = _solve(decay, gradient, backward=True)
        to_decay = torch.empty_like(to_drive)
        to_decay[0] = 0
        torch.mul(to_drive[1:], states[:-1], out=to_decay[1:])
        return to_decay, to_drive


def _solve(decay: Tensor, drive: Tensor, *, backward: bool = False) -> Tensor:
    """The recurrence or, with `backward`, its gradient, which goes from the last step to the first."""
    # A CPU is fastest step by step, in place in its cache; a GPU needs few large operations.
    if drive.device.type == "cpu":
        return step_by_step(decay, drive, backward=backward)
    if not backward:
        return parallel_scan(decay, drive)
    later = torch.cat([decay[1:], decay.new_zeros(1, *decay.shape[1:])])
    return parallel_scan(later.flip(0), drive.flip(0)).flip(0)


def step_by_step(decay: Tensor, drive: Tensor, *, backward: bool = False) -> Tensor:
    """The recurrence step by step: `steps` small operations."""
    states = drive.clone()
    each, shares = states.unbind(), decay.unbind()
    if backward:
        for step in range(len(each) - 2, -1, -1):
            each[step].addcmul_(shares[step + 1], each[step + 1])
    else:
        for step in range(1, len(each)):
            each[step].addcmul_(shares[step], each[step - 1])
    return states


def parallel_scan(decay: Tensor, drive: Tensor) -> Tensor:
    """The recurrence in log₂(steps) rounds (Hillis & Steele 1986).

    After the round with distance d, `drive_t` sums up the last 2d steps and `decay_t` is the product of their decays.
    Decays lie in [0, 1], so products cannot overflow and no logarithms are needed.
    """
    distance = 1
    while distance < len(drive):
        reached = decay[distance:]
        drive = torch.cat([drive[:distance], drive[distance:] + reached * drive[:-distance]])
        decay = torch.cat([decay[:distance], reached * decay[:-distance]])
        distance *= 2
    return drive
