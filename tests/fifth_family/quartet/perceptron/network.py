"""Two linear layers with a ReLU between them."""

from torch import Tensor, nn


class Perceptron(nn.Module):
    """`pixels` numbers in, `classes` logits out."""

    def __init__(self, *, pixels: int, hidden: int, classes: int):
        super().__init__()
        self.hidden, self.output = nn.Linear(pixels, hidden), nn.Linear(hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, channels, size, size)` to `(batch, classes)` logits."""
        return self.output(self.hidden(images.flatten(1)).relu())

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two rows of zeros."""
        return (self.hidden.weight.new_zeros(2, self.hidden.in_features),)


NETWORKS = {"perceptron": Perceptron}
