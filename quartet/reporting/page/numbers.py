"""Format numbers for people, with sensible digits, and compute confidence intervals."""

import math
from collections.abc import Mapping, Sequence

SHARES_OF = {
    # Scores that are shares, and the metrics that count their examples.
    "accuracy": ("test_tokens", "test_examples"),
    "accuracy_augmented": ("test_examples",),
    "baseline_accuracy": ("test_examples",),
    "judge_accuracy": ("test_examples",),
    "top5_accuracy": ("test_tokens",),
    "validation_accuracy": ("validation_examples",),
    "fidelity": ("generated_images",),
    "fidelity_unseen_templates": ("generated_images",),
}
OF_ONE_TRAINING = ("cas_accuracy", "cas_accuracy_real")  # their spread is that of single trainings, not of the mean
Z = 1.959963984540054  # the normal distribution's 97.5th percentile


def format_number(value: float) -> str:
    """Format with three decimals: more for numbers near zero, fewer for large ones; integers as they are."""
    if isinstance(value, bool) or not math.isfinite(value):
        return str(value)
    if isinstance(value, float) and abs(value) >= 1e7:
        return f"{value:.2e}"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if 0 < abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}"


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share of `count` independent examples (Wilson 1927)."""
    centre = share + Z**2 / (2 * count)
    reach = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def balanced_interval(shares: Sequence[float], counts: Sequence[int]) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of independent shares, each of its own count of examples.

    Its reach on each side is that of the shares' Wilson intervals, squared and added (Zou & Donner 2008).
    """
    limits = [wilson_interval(share, count) for share, count in zip(shares, counts, strict=True)]
    mean = sum(shares) / len(shares)
    below = math.hypot(*(share - low for share, (low, _) in zip(shares, limits, strict=True))) / len(shares)
    above = math.hypot(*(high - share for share, (_, high) in zip(shares, limits, strict=True))) / len(shares)
    return mean - below, mean + above


def interval_of(name: str, metrics: Mapping[str, float]) -> tuple[float, float] | None:
    """The 95 % interval of a score, from its spread or, for shares, from the number of examples; None if unknown."""
    if f"{name}_spread" in metrics and name not in OF_ONE_TRAINING:
        reach = Z * metrics[f"{name}_spread"]
        return metrics[name] - reach, metrics[name] + reach
    for counted in SHARES_OF.get(name, ()):
        if metrics.get(counted):
            return wilson_interval(min(max(metrics[name], 0.0), 1.0), int(metrics[counted]))
    return None
