"""Scores that fidelity lacks: do generated images resemble real ones, vary as much, and not copy training images?"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from quartet.datasets.images import Images, rows_at_once, to_unit_range

CHUNK, POOL = 512, 2**15  # images that are compared at once, and with how many others
# Of more images than take so many products of pixels, evenly spaced ones are compared, but not fewer than that.
PRODUCTS, FEWEST = 10**13, 1000
LATE = 2**16  # of more images than this, features are computed when they are needed


class LateFeatures:
    """Features of images that are computed when they are needed, since those of all would fill the memory.

    Args:
        images: `(images, channels, size, size)` uint8.
        features_of: from images to `(images, features)`.
    """

    def __init__(self, images: Images, features_of: Callable[[Images], Tensor]):
        self.images, self.features_of = images, features_of

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self.features_of(self.images[rows.to(self.images.device)])


LabelledFeatures = tuple[Tensor | LateFeatures, Tensor]  # features and labels


def labelled_features(images: Images, labels: Tensor, features_of: Callable[[Images], Tensor]) -> LabelledFeatures:
    """The features of images, for `fid_ratio`, with the labels."""
    # The number alone decides, so that processes that compute features together do the same.
    return (LateFeatures(images, features_of) if len(images) > LATE else features_of(images)), labels


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
    feature_sets = [(features, labels.cpu().numpy()) for features, labels in (generated, train, test)]
    classes = range(1 + max(int(labels.max()) for _, labels in feature_sets))
    counts = np.min([np.bincount(labels, minlength=len(classes)) for _, labels in feature_sets], axis=0)

    def sample(features: Tensor | LateFeatures, labels: np.ndarray) -> np.ndarray:
        members = [rng.permutation(np.flatnonzero(labels == label))[: counts[label]] for label in classes]
        return features[torch.from_numpy(np.concatenate(members))].cpu().numpy().astype(np.float64)

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


def variance_ratio(generated: Images, labels: Tensor, real: Images, real_labels: Tensor) -> float:
    """The variance within classes of generated images, divided by that of real images.

    The variance is summed over pixels and averaged over classes. Classes with fewer than two images in either set are
    left out; there must be at least one other.

    Raises:
        ValueError: the real images of each class are all the same.
    """
    return ratio_of_variances(class_variances(generated, labels), class_variances(real, real_labels))


def ratio_of_variances(generated: Mapping[int, float], real: Mapping[int, float]) -> float:
    """As `variance_ratio`, from what `class_variances` returns."""
    usable = [label for label in real if label in generated]
    among_real = np.mean([real[label] for label in usable])
    if not among_real:
        raise ValueError("the training images of each class are all the same, so there is no variance_ratio")
    return float(np.mean([generated[label] for label in usable]) / among_real)


def class_variances(images: Images, labels: Tensor) -> dict[int, float]:
    """The variance within each class of two or more images, summed over pixels."""
    classes = {label: (labels == label).nonzero()[:, 0] for label in labels.unique().tolist()}
    return {label: _variance(images, rows) for label, rows in classes.items() if len(rows) > 1}


def _variance(images: Images, rows: Tensor) -> float:
    """The variance of some images, summed over pixels."""
    # Sums of whole numbers in float64, which not every GPU has, are exact, so the formula of two sums loses nothing.
    sums, squares = torch.zeros(2, math.prod(images.shape[1:]), dtype=torch.float64)
    for some in rows.split(max(1, rows_at_once(images) // 2)):  # float64 takes twice as much
        pixels = images[some].flatten(1).cpu().double()
        sums += pixels.sum(dim=0)
        squares += pixels.square_().sum(dim=0)
    return ((squares - sums * (sums / len(rows))) / (len(rows) - 1)).sum().item()


def copy_threshold(train: Images) -> float:
    """The first percentile of the distances from a training image to the nearest other one."""
    return float(np.percentile(nearest(train, train, rows=_compared(train, train), itself=True)[0].numpy(), 1))


def copy_rate(images: Images, train: Images, threshold: float) -> float:
    """The share of images whose distance to the nearest training image is at most the threshold.

    The threshold is 0 if many training images repeat.
    """
    return float((nearest(images, train, rows=_compared(images, train))[0] <= threshold).double().mean())


def _compared(images: Images, others: Images) -> Tensor:
    """Which of the images are compared with the others: all, or evenly spaced ones if that would take too long."""
    most = max(FEWEST, PRODUCTS // (len(others) * math.prod(others.shape[1:])))
    count = min(most, len(images))
    if count < len(images):
        print(
            f"copies: of {len(images):,} images, {count:,} evenly spaced ones are compared with the {len(others):,} "
            "training images",
            flush=True,
        )
    return torch.arange(count) * len(images) // count


@torch.no_grad()
def nearest(
    images: Images, others: Images, *, rows: Tensor | None = None, itself: bool = False
) -> tuple[Tensor, Tensor]:
    """The pixel distance of each image to the nearest of `others`, and its index, each `(rows,)` on the CPU.

    Args:
        images, others: `(images, channels, size, size)` uint8.
        rows: which of the images; None takes all.
        itself: `images` and `others` are the same, and no image counts as its own neighbour.
    """
    rows = torch.arange(len(images)) if rows is None else rows
    distances, numbers = torch.full((len(rows),), torch.inf), torch.zeros_like(rows)
    start = 0
    for some in others.split(min(POOL, rows_at_once(others))):
        pool, first = to_unit_range(some.flatten(1)), 0
        for chosen in rows.split(min(CHUNK, rows_at_once(images))):
            chunk = to_unit_range(images[chosen.to(images.device)].flatten(1))
            found, least = _nearest_in(pool, chunk, chosen - start if itself else None)
            place = slice(first, first + len(chosen))
            nearer = found < distances[place]
            distances[place][nearer], numbers[place][nearer] = found[nearer], start + least[nearer]
            first += len(chosen)
        start += len(some)
    return distances, numbers


def _nearest_in(pool: Tensor, chunk: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distances and places of the nearest in `(others, pixels)`, on the CPU, for `(images, pixels)`.

    `own` is the place of each image itself, which may lie outside.
    """
    found = torch.cdist(chunk, pool)  # (images, others)
    if own is not None:
        inside = (own >= 0) & (own < len(pool))
        found[inside.nonzero()[:, 0].to(found.device), own[inside].to(found.device)] = torch.inf
    least = found.argmin(dim=1)
    alone = found.gather(1, least[:, None])[:, 0].isinf()
    # `cdist` uses matrix products, which are off by a hundredth for equal images; compute these exactly.
    exact = (chunk - pool[least]).norm(dim=1).masked_fill(alone, torch.inf)
    return exact.cpu(), least.cpu()
