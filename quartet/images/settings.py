"""Settings of the image family."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from quartet.params.fields import changed, section, setting, with_default
from quartet.params.shared import (
    Augmentation,
    Preparation,
    Training,
    class_weights_setting,
    compile_setting,
    splits_setting,
)

SOURCE: str = setting(
    "digits",
    "images with labels or captions; `glyphs` are letters of the installed fonts; a folder holds sub-folders per class "
    "or a table metadata.csv, a table names its pictures",
    choices=("digits", "mnist", "fashion-mnist", "gtsrb", "cifar10", "glyphs"),
    prefixes=("folder:", "table:"),
)


@dataclasses.dataclass(frozen=True)
class PreprocessImages(Preparation):
    """How raw images are prepared."""

    size: int | None = setting(
        None,
        "side in pixels; null keeps the size of square images of one size from 8 to 96 (larger: 96), else 48",
        at_least=8,
        at_most=512,
    )
    channels: int | None = setting(None, "1 (grey) or 3 (RGB); null keeps the source's", at_least=1, at_most=3)
    validation: float = setting(
        0.1,
        "share held out for validation: of the training images if the source has a test set, else of all images",
        above=0,
        below=0.5,
    )
    fit: str = setting(
        "crop",
        "how pictures become square: the middle is cut out, black is added, or they are stretched",
        choices=("crop", "pad", "stretch"),
    )
    splits: str = splits_setting()
    split_seed: int = setting(0, "seed of the splits, independent of `seed`", at_least=0, below=2**32)
    broken: str = setting(
        "error", "pictures of your own that cannot be decoded: stop, or leave them out", choices=("error", "skip")
    )

    def conflicts(self) -> Iterator[str]:
        """The number of channels is in range, but not 1 or 3."""
        if self.channels == 2:
            yield "preprocess.images.channels: found 2, allowed is 1 or 3, or null"


@dataclasses.dataclass(frozen=True)
class TrainCnn(Training):
    """How the image classifier is trained."""

    network: str = setting(
        "compact",
        "`compact` and the deeper `residual` take any size; `reference` is the textbook network, for 48×48 RGB; "
        "`efficientnet-lite0` and torchvision's can begin with the weights of ImageNet",
        choices=("compact", "residual", "reference", "efficientnet-lite0"),
        prefixes=("torchvision:",),
        what="NAME",
    )
    weights: str = setting(
        "none",
        "weights to begin with, of `efficientnet-lite0` or a network of torchvision: random, or trained on ImageNet",
        choices=("none", "imagenet"),
    )
    freeze: float = setting(
        0.0,
        "share of the steps during which only the classifier of such a network is trained, on features that are "
        "computed once; 1 trains nothing else",
        at_least=0,
        at_most=1,
    )
    layer_decay: float = setting(
        1.0, "factor on the learning rate of each layer of such a network, from the last one down", above=0, at_most=1
    )
    width: int = setting(64, "channels of the first level of `compact` and `residual`", at_least=4, at_most=512)
    stem: str = setting(
        "strided",
        "first layer of `compact` from 16 pixels on: half resolution, or full resolution at several times the cost",
        choices=("strided", "plain"),
    )
    activation: str = setting(
        "relu",
        "activation function after each convolution",
        choices=("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh"),
    )
    dropout: float = setting(0.2, "dropout before the classifier", at_least=0, below=1)
    loss: str = setting(
        "cross_entropy",
        "loss function; the last two take one-hot targets",
        choices=("cross_entropy", "binary_cross_entropy", "mean_squared_error"),
    )
    keep: str = with_default(Training, "keep", "last")
    precision: str = with_default(Training, "precision", "auto")
    steps: int = with_default(Training, "steps", 800)
    validate_every: int = with_default(Training, "validate_every", 50)
    epochs: int | None = setting(
        None, "passes over the training examples, in full batches; overrides `steps`", at_least=1
    )
    class_weights: str = class_weights_setting()
    label_smoothing: float = setting(0.05, "share of the target spread over all classes", at_least=0, below=1)
    cutmix: float = setting(
        0.0,
        "share of the pictures in which a square shows another one, whose class then counts by its area (CutMix): "
        "for long trainings on few pictures",
        at_least=0,
        at_most=1,
    )
    compile: bool = compile_setting()
    augmentation: Augmentation = section(Augmentation)

    @property
    def starts_from(self) -> str | None:
        """What weights the training starts from, in words; None for random ones."""
        return self.start_from or (f"{self.network}, trained on ImageNet" if self.weights != "none" else None)

    @property
    def has_body(self) -> bool:
        """Whether the network is a body that others have designed, and a classifier."""
        return self.network == "efficientnet-lite0" or self.network.startswith("torchvision:")

    @property
    def idle(self) -> list[str]:
        """The settings that someone changed and that the network, or a body that stands still, does not use."""
        names = changed(self, {"compact": (), "residual": ("stem",)}.get(self.network, ("width", "stem")))
        names += changed(self, ("activation",) if self.has_body else ())
        if self.freeze == 1:
            others = [field.name for field in dataclasses.fields(Augmentation) if field.name != "flip"]
            names += changed(self, ["cutmix", "layer_decay"])
            names += [f"augmentation.{name}" for name in changed(self.augmentation, others)]
        return names

    def conflicts(self, data: PreprocessImages, evaluation: Any) -> Iterator[str]:
        """The textbook network takes images of one shape only; other networks have no body to freeze."""
        if not self.has_body:
            for name in ("weights", "freeze", "layer_decay"):
                if changed(self, [name]):
                    yield f"train_cnn.{name}: is for efficientnet-lite0 and torchvision:NAME, not for {self.network}"
        elif self.freeze and not self.starts_from:
            yield "train_cnn.freeze: would keep random weights; set train_cnn.weights or train_cnn.start_from, or 0"
        if self.network == "residual" and self.width % 2:
            yield f"train_cnn.width: found {self.width}; `residual` takes even ones, since its stem has half of it"
        if self.cutmix and self.class_weights != "none":
            yield "train_cnn.cutmix: mixes classes, which class_weights tells apart; set one of them to 0 or none"
        if self.weights != "none" and self.start_from:
            yield "train_cnn.start_from: set it to null, or train_cnn.weights to none; a training starts from one"
        if 0 < self.freeze < 1 and self.max_seconds:
            yield "train_cnn.freeze: is a share of `steps`, which max_seconds changes; set max_seconds to null"
        if self.network == "reference" and (data.size, data.channels) != (48, 3):
            yield (
                "train_cnn.network: found `reference`, which takes 48×48 RGB images: set preprocess.images.size = 48 "
                f"(found {_yaml(data.size)}) and preprocess.images.channels = 3 (found {_yaml(data.channels)})"
            )


def _yaml(value: object) -> str:
    return "null" if value is None else str(value)
