"""Settings that several families share: the machine, preparation, augmentation and training."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from quartet.params.fields import setting


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Settings of the machine; no stage depends on them, so a change reruns nothing."""

    device: str = setting(
        "auto", "where to compute; `auto` uses a CUDA GPU if there is one", choices=("auto", "cpu", "cuda", "mps")
    )
    threads: int | None = setting(None, "CPU threads; null uses every core", at_least=1, at_most=1024)
    checkpoint_seconds: float = setting(
        30.0,
        "an interrupted training loses at most this much work; more where saving takes over 1 % of it, which is said",
        above=0,
    )
    processes: int | str = setting(
        1,
        "processes that train one model together, each with its part of every batch; `auto` takes one per GPU",
        at_least=1,
        at_most=4096,
        choices=("auto",),
    )
    process_timeout: float = setting(
        300.0, "seconds after which a process that does not answer the others is lost, and the training ends", above=0
    )
    nodes: int = setting(1, "machines that train together, each with `processes`", at_least=1, at_most=4096)
    rendezvous: str | None = setting(
        None, "where the machines meet: `HOST:PORT` of one of them; the same command runs on each"
    )

    def conflicts(self) -> Iterator[str]:
        """Settings that contradict each other, one line per error."""
        host, _, port = (self.rendezvous or "").rpartition(":")
        if self.rendezvous and not (host and port.isdecimal() and 0 < int(port) < 65536):
            yield f"runtime.rendezvous: found {self.rendezvous!r}, wanted HOST:PORT"
        if (self.processes != 1 or self.nodes > 1) and self.device == "mps":
            yield "runtime.device: found 'mps'; an Apple GPU is used by one process alone"
        if (self.nodes > 1) != bool(self.rendezvous):
            yield f"runtime.rendezvous: found {self.rendezvous!r} with nodes = {self.nodes}; several machines need one"


class Preparation:
    """How raw data is prepared: the base class of the sections of `preprocess`."""

    def conflicts(self) -> Iterator[str]:
        """Errors that checking each setting by itself cannot find, one line per error."""
        yield from ()


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The ranges of random changes per image (0 switches a change off), and how images are resampled."""

    rotation: float = setting(10.0, "largest rotation in either direction, degrees", at_least=0, at_most=180)
    shift: float = setting(0.1, "largest shift in either direction, share of the side", at_least=0, at_most=0.5)
    scale: float = setting(0.0, "largest relative change of size", at_least=0, below=1)
    shear: float = setting(0.0, "largest shear angle in either direction, degrees", at_least=0, at_most=80)
    interpolation: str = setting(
        "bilinear",
        "how transformed images are resampled; `bicubic` blurs less, `nearest`, for small images, not at all",
        choices=("bilinear", "bicubic", "nearest"),
    )
    brightness: float = setting(0.2, "largest relative change of brightness", at_least=0, at_most=1)
    contrast: float = setting(0.2, "largest relative change of contrast", at_least=0, at_most=1)
    crop: float = setting(
        0.0, "smallest area of a random crop that is resized to the whole, share of the image", at_least=0, below=1
    )
    flip: float = setting(0.0, "probability of a horizontal flip", at_least=0, at_most=1)
    cutout: float = setting(0.0, "side of a black square at a random place, share of the side", at_least=0, at_most=1)


@dataclasses.dataclass(frozen=True)
class Training:
    """Training settings that every family has."""

    optimizer: str = setting(
        "adamw",
        "update rule; `muon` updates matrices and convolution kernels, and AdamW the rest",
        choices=("sgd", "adam", "adamw", "rmsprop", "muon"),
    )
    learning_rate: float = setting(0.004, "peak learning rate", above=0, at_most=10)
    weight_decay: float = setting(
        0.01,
        "weight decay of matrices and kernels: decoupled for `adamw` and `muon`, otherwise added to the gradient",
        at_least=0,
        at_most=10,
    )
    batch_size: int = setting(64, "examples per step", at_least=2, at_most=65536)
    warmup: float = setting(0.1, "share of the steps during which the learning rate rises", at_least=0, at_most=1)
    schedule: str = setting(
        "linear",
        "learning rate after warm-up: decays to zero linearly or along a cosine, or stays constant",
        choices=("linear", "cosine", "constant"),
    )
    ema: float = setting(
        0.99, "decay of the exponential moving average of the weights; 0 switches it off", at_least=0, below=1
    )
    clip: float = setting(1.0, "gradients are clipped to this norm; 0 does not clip", at_least=0, at_most=1e9)
    accumulate: int = setting(1, "batches whose gradients are averaged for one step", at_least=1, at_most=65536)
    patience: int | None = setting(
        None,
        "end training after this many validations without a better score; null never ends early",
        at_least=1,
        at_most=10**9,
    )
    keep: str = setting(
        "best",
        "which weights to keep: those with the best validation score, or the last; `patience` always keeps the best",
        choices=("best", "last"),
    )
    precision: str = setting(
        "float32",
        "forward and backward pass; weights stay float32; `auto` is bfloat16 on devices with fast bfloat16",
        choices=("auto", "float32", "bfloat16"),
    )
    max_seconds: float | None = setting(
        None,
        "for benchmarks: train for as many steps as fit in this time; the card records how many",
        above=0,
        at_most=10**9,
    )
    start_from: str | None = setting(
        None,
        "weights to start from: the folder of a model of this family, or one of the registry such as "
        "`models:/quartet-FAMILY@champion` (`cnn`, `rnn`, `lm`, `diffusion`); null starts from random ones",
    )
    on_divergence: str = setting(
        "stop",
        "where the loss, its gradient or the weights are no longer finite: end with an error, or go back to the last "
        "validation (or the start) and on with half the learning rate, at most three times; takes memory for a copy",
        choices=("stop", "rollback"),
    )
    steps: int = setting(280, "training steps, regardless of the data's size", at_least=1, at_most=10**9)
    validate_every: int = setting(70, "steps between validations", at_least=1, at_most=10**9)

    @property
    def starts_from(self) -> str | None:
        """What weights the training starts from, in words; None for random ones."""
        return self.start_from

    @property
    def brings(self) -> dict[str, str]:
        """Files that come with the weights to start from: their paths, by the settings that name them."""
        return {}

    def conflicts(self, data: Any, evaluation: Any) -> Iterator[str]:
        """Settings that contradict each other, one line per error.

        `data` is the section of `preprocess` for the family's data, `evaluation` its section of `evaluate` or None.
        """
        yield from ()


def splits_setting() -> Any:
    """The setting `splits` of data that may come with splits of its own."""
    return setting(
        "auto",
        "`auto` keeps splits that the data itself names and draws the missing ones from the training examples; "
        "`own` insists on the data's own train and test; `random` draws all",
        choices=("auto", "own", "random"),
    )


def class_weights_setting() -> Any:
    """The setting `class_weights` of the families that tell classes apart."""
    return setting(
        "none",
        "weights of the classes in the loss; `balanced` weights each by examples / (classes · its training examples), "
        "so that a rare class counts as much as a common one",
        choices=("none", "balanced"),
    )


def compile_setting() -> Any:
    """The setting `compile`, for the families whose steps torch's compiler speeds up."""
    return setting(
        False,
        "fuse operations with torch's compiler: the first step takes up to a minute, the others are faster; "
        "for long trainings on a GPU",
    )


def width_per_head(name: str, width: int, heads: int, position: str) -> Iterator[str]:
    """Errors in the width of attention heads; `name` is the settings' common prefix before `heads` and `width`."""
    if width % heads:
        yield f"{name}heads: found {heads}, which does not divide {name}width = {width}"
    elif position == "rotary" and (width // heads) % 2:
        yield f"{name}width: found {width}; with rotary positions the width per head must be even"
    elif position == "sinusoidal" and width % 2:
        yield f"{name}width: found {width}; with sinusoidal positions it must be even"
