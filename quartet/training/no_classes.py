"""What stands in the place of a classifier where pictures have captions, but no classes to tell apart.

The graph of stages stays as it is: the trainings of classifiers write a model that says so, and take a moment.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quartet.training.parallel.share import processes
from quartet.training.run import Plan
from quartet.training.task import Batch, Task

NO_CLASSES = "no-classes"  # its name in a model's card


class NoClasses(nn.Module):
    """Classifies nothing; its one layer is there because a training needs weights."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Linear(1, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Any `(batch, …)` to `(batch, 0)`: logits of no classes."""
        return inputs.new_zeros(len(inputs), 0)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two numbers."""
        return (self.nothing.weight.new_zeros(2, 1),)


def nothing_to_train(card_keys: Sequence[str], device: torch.device, source: str) -> Plan:
    """The plan of a training of one step that changes nothing; arguments as of `Plan`."""
    print(f"{source}: there are captions, but no classes to tell apart, so no classifier is trained", flush=True)
    network = NoClasses().to(device)

    def loss_of(network: NoClasses, batch: Batch) -> Tensor:
        return 0 * (network.nothing.weight.sum() + network.nothing.bias.sum())

    return Plan(
        task=Task(
            network=network,
            examples_at=lambda number: (torch.zeros(processes(), 1, device=device),),  # one for each
            batch_of=lambda examples, generator: (),
            loss_of=loss_of,
            validate=lambda network: {"loss": 0.0, "score": 0.0},
            steps=1,
            validate_every=1,
        ),
        description={"name": NO_CLASSES},
        card_keys=tuple(card_keys),
    )
