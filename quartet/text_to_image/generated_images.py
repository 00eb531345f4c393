"""Scores that fidelity lacks: do generated images resemble real ones, vary as much, and not copy training images?"""

import numpy as np
import torch
from torch import Tensor

from quartet.datasets.images import to_unit_range

CHUNK = 512  # images compared at once
LabelledFeatures = tuple[Tensor, Tensor]  # features and labels


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The Fréchet distance of two sets of features, `(images, features)` each, taken as Gaussian (Heusel et al. 2017).

    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½)
    """
    means = first.mean(axis=0) - second.mean(axis=0)
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(min=0)).sum()
    return float(means @ means + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * shared)


def fid_ratio(
    generated: LabelledFeatures, test: LabelledFeatures, train: LabelledFeatures, *, draws: int, seed: int
) -> tuple[float, float]:
    """Fréchet distance of generated to test features, divided by that of training to test features.

    Each of the `draws` takes the same number of random images of each class from all three sets: as many as the
    smallest set has. With unequal class mixes, the distances would mostly measure the mix.

    Args:
        generated, test, train: `(images, features)` each, with the `(images,)` labels.
        draws: how many random draws to average over.
        seed: of the draws.

    Returns:
        The ratio of the mean distances, and the standard deviation of the numerator divided by the mean denominator.

    Raises:
        ValueError: the judge sees no difference between training and test images.
    """
    rng = np.random.default_rng(seed)
    feature_sets = [tuple(part.cpu().numpy() for part in features) for features in (generated, train, test)]
    classes = range(1 + max(int(labels.max()) for _, labels in feature_sets))
    counts = np.min([np.bincount(labels, minlength=len(classes)) for _, labels in feature_sets], axis=0)

    def sample(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        members = [rng.permutation(np.flatnonzero(labels == label))[: counts[label]] for label in classes]
        return features[np.concatenate(members)].astype(np.float64)

    distances = np.array(
        [
            [frechet_distance(sample(*features), real) for features in feature_sets[:2]]
            for real in (sample(*feature_sets[2]) for _ in range(draws))
        ]
    )  # (draws, 2)
    means = distances.mean(axis=0)
    if means[1] <= 0:
        raise ValueError("the judge sees no difference between training and test images, so there is no fid_ratio")
    return float(means[0] / means[1]), float(distances[:, 0].std() / means[1])


def variance_ratio(generated: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor) -> float:
    """The variance within classes of generated images, divided by that of real images.

    The variance is summed over pixels and averaged over classes. Classes with fewer than two images in either set are
    left out; there must be at least one other.

    Raises:
        ValueError: the real images of each class are all the same.
    """
    usable = [label for label in real_labels.unique() if min((real_labels == label).sum(), (labels == label).sum()) > 1]

    def within(images: Tensor, owners: Tensor) -> float:
        pixels, owners = images.flatten(1).cpu().double(), owners.cpu()  # not every GPU has float64
        return float(np.mean([pixels[owners == label].var(dim=0, unbiased=True).sum().item() for label in usable]))

    among_real = within(real, real_labels)
    if not among_real:
        raise ValueError("the training images of each class are all the same, so there is no variance_ratio")
    return within(generated, labels) / among_real


def copy_threshold(train: Tensor) -> float:
    """The first percentile of the distances from a training image to the nearest other one."""
    return float(np.percentile(nearest(train, train, itself=True)[0].numpy(), 1))


def copy_rate(images: Tensor, train: Tensor, threshold: float) -> float:
    """The share of images whose distance to the nearest training image is at most the threshold.

    The threshold is 0 if many training images repeat.
    """
    return float((nearest(images, train)[0] <= threshold).double().mean())


@torch.no_grad()
def nearest(images: Tensor, others: Tensor, *, itself: bool = False) -> tuple[Tensor, Tensor]:
    """The pixel distance of each image to the nearest of `others`, and its index, each `(images,)` on the CPU.

    With `itself`, `images` and `others` are the same, and no image counts as its own neighbour.
    """
    pool = to_unit_range(others.flatten(1))
    distances, numbers = [], []
    for start in range(0, len(images), CHUNK):
        chunk = to_unit_range(images[start : start + CHUNK].flatten(1))
        found = torch.cdist(chunk, pool)  # (chunk, others)
        if itself:
            rows = torch.arange(len(chunk), device=found.device)
            found[rows, start + rows] = torch.inf
        least = found.argmin(dim=1)
        # `cdist` uses matrix products, which are off by a hundredth for equal images; compute these exactly.
        distances.append((chunk - pool[least]).norm(dim=1).cpu())
        numbers.append(least.cpu())
    return torch.cat(distances), torch.cat(numbers)
