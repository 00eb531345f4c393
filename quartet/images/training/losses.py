"""Loss functions of the image classifier: torch's own, with one-hot targets and label smoothing."""

from torch import Tensor
from torch.nn import functional as F


def classification_loss(
    logits: Tensor, labels: Tensor, name: str, label_smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """The mean loss `name` of `(batch, classes)` logits and `(batch,)` labels.

    cross_entropy         −Σ_c t_c log softmax(z)_c
    binary_cross_entropy  one against the rest: −mean_c [t_c log σ(z_c) + (1 − t_c) log(1 − σ(z_c))]
    mean_squared_error    of probabilities (Brier 1950): mean_c (softmax(z)_c − t_c)²

    The target t is one-hot, with a share `label_smoothing` spread evenly over all classes (Szegedy et al. 2016).
    `(classes,)` weights count in the cross-entropy as torch has it, with the smoothed targets of each class, and in the
    other two as weights of the examples, by their labels.
    """
    if name == "cross_entropy":
        return F.cross_entropy(logits, labels, weight=weights, label_smoothing=label_smoothing)
    targets = smoothed_one_hot(labels, logits.shape[1], label_smoothing).to(logits.dtype)
    reduction = "mean" if weights is None else "none"
    if name == "binary_cross_entropy":
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction=reduction)
    else:
        loss = F.mse_loss(logits.softmax(dim=1), targets, reduction=reduction)
    if weights is None:
        return loss
    of_examples = weights[labels]
    return (loss.mean(dim=1) * of_examples).sum() / of_examples.sum()


def smoothed_one_hot(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """`(batch,)` labels to `(batch, classes)` targets that sum to one."""
    return F.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
