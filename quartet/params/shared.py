"""Sections and settings that more than one family has: the machine's, preparation, augmentation, training."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from quartet.params.fields import setting


@dataclasses.dataclass(frozen=True)
class Runtime:
    """The machine's business: in no stage's hash."""

    device: str = setting(
        "auto", "where to compute; `auto` takes the CUDA GPU if there is one", choices=("auto", "cpu", "cuda", "mps")
    )
    threads: int | None = setting(None, "CPU threads; null takes every core", at_least=1, at_most=1024)


class Preparation:
    """How raw data is prepared: what the sections of `preprocess` have in common."""

    def contradictions(self) -> Iterator[str]:
        """What is wrong though each setting is right by itself, a line each."""
        yield from ()


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Ranges of random per-image changes, of which 0 switches one off; and how images are resampled."""

    rotation: float = setting(10.0, "largest rotation either way, degrees", at_least=0, at_most=180)
    shift: float = setting(0.1, "largest shift either way, share of the side", at_least=0, at_most=0.5)
    scale: float = setting(0.0, "largest relative change of size", at_least=0, below=1)
    shear: float = setting(0.0, "largest slant either way, degrees", at_least=0, at_most=80)
    interpolation: str = setting(
        "bilinear",
        "how moved images are resampled; `bicubic` blurs less",
        choices=("bilinear", "bicubic"),
    )
    brightness: float = setting(0.2, "largest relative change of brightness", at_least=0, at_most=1)
    contrast: float = setting(0.2, "largest relative change of contrast", at_least=0, at_most=1)
    flip: float = setting(0.0, "probability of a mirror image, left to right", at_least=0, at_most=1)
    cutout: float = setting(0.0, "side of a black square at a random place, share of the side", at_least=0, at_most=1)


@dataclasses.dataclass(frozen=True)
class Training:
    """What every training stage sets, whatever its family."""

    optimizer: str = setting(
        "adamw",
        "update rule; `muon` takes matrices and kernels, AdamW the rest",
        choices=("sgd", "adam", "adamw", "rmsprop", "muon"),
    )
    learning_rate: float = setting(0.004, "peak learning rate", above=0, at_most=10)
    weight_decay: float = setting(
        0.01,
        "weight decay of matrices and kernels: decoupled for `adamw` and `muon`, else part of the gradient",
        at_least=0,
        at_most=10,
    )
    batch_size: int = setting(64, "examples per step", at_least=2, at_most=65536)
    warmup: float = setting(0.1, "share of the steps over which the learning rate rises", at_least=0, at_most=1)
    schedule: str = setting(
        "linear", "learning rate after the warm-up: down to zero, or constant", choices=("linear", "cosine", "constant")
    )
    ema: float = setting(0.99, "decay per step of the averaged weights; 0 switches averaging off", at_least=0, below=1)
    clip: float = setting(1.0, "largest gradient norm; 0 does not clip", at_least=0)
    accumulate: int = setting(1, "batches whose gradients are averaged for one step", at_least=1, at_most=65536)
    patience: int | None = setting(
        None, "validations without a better score after which training ends early; null goes on to the end", at_least=1
    )
    keep: str = setting(
        "best",
        "weights that are kept: those of the best validation score, or the last, unless `patience` is set",
        choices=("best", "last"),
    )
    precision: str = setting(
        "float32",
        "numbers of forward and backward pass (weights stay float32); `auto`: bfloat16 on devices that are fast at it",
        choices=("auto", "float32", "bfloat16"),
    )
    max_seconds: float | None = setting(
        None, "benchmarks: as many steps as fit in this time; the card tells how many", above=0
    )
    steps: int = setting(280, "steps to train: the time does not grow with the data", at_least=1)
    validate_every: int = setting(70, "steps between validations", at_least=1)

    def contradictions(self, data: Any, evaluation: Any) -> Iterator[str]:
        """What is wrong between settings that are right one by one, a line each.

        `data` is how the family's data is prepared, `evaluation` its section of `evaluate`, None if it has none.
        """
        yield from ()


def compile_setting() -> Any:
    """The setting `compile` of the families whose steps a compiler speeds up."""
    return setting(
        False,
        "fuse operations by torch's compiler: the first step takes up to a minute, those after it less; "
        "for long trainings on a GPU",
    )


def width_per_head(name: str, width: int, heads: int, position: str) -> Iterator[str]:
    """What is wrong with the width of an attention's heads; `name` is the settings' name before `heads` and `width`."""
    if width % heads:
        yield f"{name}heads: found {heads}, which does not divide {name}width = {width}"
    elif position == "rotary" and (width // heads) % 2:
        yield f"{name}width: found {width}, allowed with rotary positions is an even number per head"
    elif position == "sinusoidal" and width % 2:
        yield f"{name}width: found {width}, allowed with sinusoidal positions is an even number"
