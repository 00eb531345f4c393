"""Loss functions of the image classifier: torch's own, with one-hot targets and label smoothing."""

from torch import Tensor
from torch.nn import functional as F


def classification_loss(logits: Tensor, labels: Tensor, name: str, label_smoothing: float) -> Tensor:
    """The mean loss `name` of `(batch, classes)` logits and `(batch,)` labels.

    cross_entropy         −Σ_c t_c log softmax(z)_c
    binary_cross_entropy  one against the rest: −mean_c [t_c log σ(z_c) + (1 − t_c) log(1 − σ(z_c))]
    mean_squared_error    of probabilities (Brier 1950): mean_c (softmax(z)_c − t_c)²

    The target t is one-hot, with a share `label_smoothing` spread evenly over all classes (Szegedy et al. 2016).
    """
    if name == "cross_entropy":
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    targets = smoothed_one_hot(labels, logits.shape[1], label_smoothing).to(logits.dtype)
    if name == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits(logits, targets)
    return F.mse_loss(logits.softmax(dim=1), targets)


def smoothed_one_hot(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """`(batch,)` labels to `(batch, classes)` targets that sum to one."""
    return F.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
