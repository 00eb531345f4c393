"""Weights of the classes in the loss, so that a rare class counts as much as a common one."""

from torch import Tensor


def class_weights(labels: Tensor, classes: int, how: str) -> Tensor | None:
    """`(classes,)` weights for the training labels, or None where `how` is `none`.

    `balanced` weights a class by examples / (classes · its examples), over the classes that occur, as scikit-learn's
    `compute_class_weight` does: the mean weight of an example is one. A class without examples has weight zero.
    """
    if how == "none":
        return None
    counts = labels.bincount(minlength=classes).double()
    weights = len(labels) / ((counts > 0).sum() * counts.clamp(min=1))
    return weights.where(counts > 0, 0).float()
