"""The optimizers: torch's SGD with Nesterov momentum, Adam, AdamW and RMSprop, and our Muon."""

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from quartet.params.shared import Training
from quartet.training.muon import Muon


def build_optimizers(
    network: nn.Module,
    settings: Training,
    device: torch.device,
    rate_factors: Mapping[str, float] | None = None,
    *,
    sharded: bool = False,
) -> list[Optimizer]:
    """The optimizers of a network: a single one or, for `muon`, Muon for matrices and kernels and AdamW for the rest.

    Weight decay applies only to matrices and kernels, not to biases, gains and embeddings. For a GPU, all state,
    including the learning rate, is on the GPU, so that a step can be replayed.

    Args:
        rate_factors: factors on the learning rate of parameters, by name; the others have 1.
        sharded: whether the network is; its steps are not replayed, and Muon, which needs whole matrices, cannot be.
    """
    on_gpu = device.type == "cuda" and not sharded
    rate = torch.tensor(settings.learning_rate, device=device) if on_gpu else settings.learning_rate
    embeddings = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    decayed: dict[float, list[nn.Parameter]] = {}
    others: dict[float, list[nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad and weight.numel():
            kind = decayed if weight.ndim >= 2 and id(weight) not in embeddings else others
            kind.setdefault((rate_factors or {}).get(name, 1.0), []).append(weight)
    matrices = [_group(part, settings.weight_decay, rate, factor) for factor, part in decayed.items()]
    vectors = [_group(part, 0.0, rate, factor) for factor, part in others.items()]
    if settings.optimizer == "muon":
        return [
            Muon(matrices, lr=rate, weight_decay=settings.weight_decay),
            AdamW(vectors, lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True, capturable=on_gpu),
        ]
    groups = matrices + vectors
    if settings.optimizer == "sgd":
        return [SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=not sharded)]
    if settings.optimizer == "rmsprop":
        return [RMSprop(groups, lr=rate, capturable=on_gpu)]
    return [{"adam": Adam, "adamw": AdamW}[settings.optimizer](groups, lr=rate, fused=True, capturable=on_gpu)]


def _group(weights: list[nn.Parameter], decay: float, rate: float | torch.Tensor, factor: float) -> dict[str, object]:
    own = rate.clone() if isinstance(rate, torch.Tensor) else rate  # each group has a rate of its own
    return {"params": weights, "weight_decay": decay, "lr": own, "factor": factor}


def set_learning_rate(optimizers: list[Optimizer], rate: float) -> None:
    """Set the learning rate of every parameter group, times its factor."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate * group["factor"])  # in place, where a recorded step reads it
            else:
                group["lr"] = rate * group["factor"]


def optimizer_tensors(optimizers: list[Optimizer]) -> dict[str, torch.Tensor]:
    """The state of the optimizers as named tensors: `optimizer.parameter.name`."""
    return {
        f"{number}.{index}.{name}": tensor
        for number, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
        if isinstance(tensor, torch.Tensor)
    }


def restore_optimizers(
    optimizers: list[Optimizer],
    tensors: dict[str, torch.Tensor],
    part: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda tensor, like: tensor,
) -> None:
    """Restore the state that `optimizer_tensors` returned; of a tensor of a parameter's size, its `part`."""
    for number, optimizer in enumerate(optimizers):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        restored = optimizer.state_dict()
        for key, tensor in tensors.items():
            owner, index, name = key.split(".", 2)
            if int(owner) == number:
                parameter = parameters[int(index)]
                if tensor.shape == parameter.shape:
                    # In the parameter's memory format, since fused updates step through both in memory order.
                    tensor = torch.empty_like(parameter).copy_(part(tensor, parameter))
                restored["state"].setdefault(int(index), {})[name] = tensor
        optimizer.load_state_dict(restored)
