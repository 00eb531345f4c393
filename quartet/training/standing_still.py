"""Say where a training learns nothing: a loss that does not fall in its first tenth, a score at chance level."""

import math

import torch
from torch import Tensor

from quartet.training.task import Chance

MOST_COMPARED = 100  # losses at either end of the first tenth
SMALL, DOUBTFUL = 0.005, 0.05  # of the first loss: a fall that is none, and one that may be luck


def compared_losses(steps: int) -> int:
    """How many losses at either end of the first tenth of the steps are compared; 0 if there are too few to tell."""
    return min(steps // 40, MOST_COMPARED) if steps >= 200 else 0


class FirstLosses:
    """Losses of steps at the beginning and at the end of the first tenth, kept on the device.

    Args:
        steps: of the whole training.
        device: where it runs.

    Attributes:
        losses: first those at the beginning, then those at the end; at least the very first one.
    """

    def __init__(self, steps: int, device: torch.device):
        self.tenth, self._half, self._said = steps // 10, compared_losses(steps), False
        self.losses = torch.zeros(recorded_losses(steps), device=device)

    def note(self, step: int, loss: Tensor) -> None:
        """Keep the loss of a step, counted from 0, if it is one of them."""
        if step < max(self._half, 1):
            self.losses[step] = loss
        elif self.tenth - self._half <= step < self.tenth:
            self.losses[step - self.tenth + 2 * self._half] = loss

    def warning(self, taken: int) -> str | None:
        """After the last step of the first tenth, once, a sentence if the loss has not fallen; a GPU is waited for."""
        if not self._half or taken != self.tenth or self._said:
            return None
        first, last = self.losses.cpu().double().split(self._half)
        fall, size = (first.mean() - last.mean()).item(), abs(first.mean().item())
        error = ((first.var() + last.var()) / self._half).sqrt().item()
        if fall >= SMALL * size and (fall >= 2 * error or fall >= DOUBTFUL * size):
            return None
        self._said = True
        advice = "lower learning_rate" if -fall > size else "raise learning_rate"
        return (
            f"the training loss has not fallen in the first tenth of the steps: {first.mean():.4g} at the beginning, "
            f"{last.mean():.4g} at step {taken}; {advice}, or look at the data and labels"
        )


def recorded_losses(steps: int) -> int:
    """The length of `FirstLosses.losses`."""
    return max(2 * compared_losses(steps), 1)


def chance_of_classes(labels: Tensor) -> Chance:
    """The accuracy of the most frequent of the classes `(examples,)`; two standard errors may be luck."""
    share = labels.bincount().max().item() / len(labels)
    return Chance("the most frequent class", share, 2 * math.sqrt(share * (1 - share) / len(labels)))


def chance_warning(score: float, chance: Chance) -> str | None:
    """A sentence if a validation score is no better than that of an answer that needs no learning."""
    if score > chance.score + chance.margin:
        return None
    return (
        f"the validation score, {score:.4f}, is at chance level: {chance.answer} scores {chance.score:.4f}; train for "
        "more steps, change learning_rate, or look at the data and labels"
    )
