"""Settings of the sequence family."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from quartet.params.fields import section, setting, with_default
from quartet.params.shared import Augmentation, Preparation, Training, class_weights_setting, splits_setting

SOURCE: str = setting(
    "image-rows",
    "labelled sequences: the images by row or by pixel, scikit-learn's docstrings by module, time series, or passages "
    "of text in a table (CSV, JSON lines or Parquet)",
    choices=("image-rows", "image-pixels", "docstring-topics"),
    prefixes=("csv:", "parquet:", "ts:", "passages:"),
)


@dataclasses.dataclass(frozen=True)
class Columns:
    """The names of a table's columns, by what they say."""

    series: str = setting("series", "which series a row belongs to")
    step: str = setting("step", "the place of a row in its series: a number, or a time in ISO 8601")
    text: str = setting("text", "the text of a passage")
    label: str = setting("label", "the class of a series or a passage")
    target: str = setting("target", "the number to predict for a series, instead of a class")
    split: str = setting("split", "`train`, `validation` or `test`; the column may be absent")
    group: str = setting("group", "who or what a series or passage is from, never split; the column may be absent")
    known: str | None = setting(
        None, "columns that are known in advance, such as a calendar's, for a forecast; separated by commas"
    )


@dataclasses.dataclass(frozen=True)
class PreprocessSequences(Preparation):
    """How raw sequences are prepared."""

    validation: float = setting(
        0.1, "share of all sequences held out for validation; images keep their splits", above=0, below=0.5
    )
    splits: str = splits_setting()
    task: str = setting(
        "auto",
        "what is learnt of time series: their classes, a number each, or how they go on; `auto` goes by the columns",
        choices=("auto", "classes", "numbers", "forecast"),
    )
    horizon: int | None = setting(
        None, "how many steps a forecast looks ahead; null is a season, or a tenth without one, at most 96", at_least=1
    )
    window: int | None = setting(
        None,
        "how many steps it looks back; null is a quarter of the training stretch in whole seasons, at most 512",
        at_least=2,
    )
    season: int | None = setting(
        None, "the steps after which series repeat, such as 24 hours; null finds it, 1 is none", at_least=1
    )
    train_steps: int | None = setting(
        None, "a forecast's training stretch; null is all before validation; what is after test is not used", at_least=1
    )
    validation_steps: int | None = setting(
        None, "its validation stretch; null is the share `validation`, at least the horizon", at_least=1
    )
    test_steps: int | None = setting(None, "its test stretch; null is the horizon", at_least=1)
    split_seed: int = setting(0, "seed of the splits, independent of `seed`", at_least=0, below=2**32)
    columns: Columns = section(Columns)
    decimal: str = setting("point", "the decimal sign of a table's numbers", choices=("point", "comma"))
    thousands: str = setting(
        "none", "what separates thousands in a table's numbers", choices=("none", "comma", "point", "space")
    )
    vocabulary_size: int = setting(
        2048, "vocabulary size for passages of text, including the 256 bytes", at_least=256, at_most=65536
    )
    pixel_order: str = setting(
        "raster",
        "order of the steps of `image-pixels`: line by line, or one random order for all images (permuted MNIST)",
        choices=("raster", "permuted"),
    )
    standardise: str = setting(
        "data",
        "mean and deviation by which time series are standardised: those of all training series, or each series' own",
        choices=("data", "series"),
    )
    missing: str = setting(
        "error",
        "an empty cell of a time series is an error, repeats the previous value, or is zero",
        choices=("error", "previous", "zero"),
    )


@dataclasses.dataclass(frozen=True)
class SeriesAugmentation:
    """The ranges of random changes per time series; 0 switches a change off."""

    jitter: float = setting(0.0, "noise that is added to every value, standard deviations", at_least=0, at_most=10)
    scaling: float = setting(0.0, "largest relative change of a feature's size", at_least=0, below=1)
    shift: float = setting(0.0, "largest shift in time, share of the length; ends repeat", at_least=0, at_most=0.5)
    time_warp: float = setting(0.0, "largest relative change of the speed of time", at_least=0, below=1)
    cutout: float = setting(0.0, "a stretch that is set to the mean, share of the length", at_least=0, below=1)
    mixup: float = setting(
        0.0, "largest share of another series that is mixed in, with its label", at_least=0, at_most=0.5
    )

    @property
    def on(self) -> bool:
        """Whether any change is switched on."""
        return any(dataclasses.astuple(self))


@dataclasses.dataclass(frozen=True)
class TrainRnn(Training):
    """How the sequence classifier is trained."""

    network: str = setting(
        "recurrent",
        "`recurrent` reads step by step; `kernels` pools random convolutions of many lengths over the whole series and "
        "trains a linear layer on them: for time series, above all long or few ones; `linear` forecasts from a window",
        choices=("recurrent", "kernels", "linear"),
    )
    cell: str = setting("gru", "recurrent cell", choices=("gru", "lstm", "rnn", "mingru"))
    hidden_size: int = setting(128, "units per layer and direction", at_least=1, at_most=4096)
    layers: int = setting(2, "stacked recurrent layers", at_least=1, at_most=16)
    bidirectional: bool = setting(True, "read the sequence in both directions")
    pooling: str = setting(
        "last", "what is classified: the last state, or the mean or maximum of all", choices=("last", "mean", "max")
    )
    dropout: float = setting(0.2, "dropout between layers and before the classifier", at_least=0, below=1)
    token_dropout: float = setting(0.3, "share of a text's tokens that are zeroed in training", at_least=0, below=1)
    steps: int = with_default(Training, "steps", 500)
    validate_every: int = with_default(Training, "validate_every", 50)
    epochs: int | None = setting(
        None, "passes over the training examples, in full batches; overrides `steps`", at_least=1
    )
    include_validation: bool = setting(
        False,
        "train on the validation examples too, once all settings are chosen; needs `keep: last`, and the validation "
        "score says nothing",
    )
    label_smoothing: float = setting(0.0, "share of a label that is spread over all classes", at_least=0, below=1)
    class_weights: str = class_weights_setting()
    loss: str = setting(
        "mean_squared_error",
        "the loss where numbers are predicted instead of classes",
        choices=("mean_squared_error", "mean_absolute_error", "huber"),
    )
    augmentation: Augmentation = section(Augmentation)
    series_augmentation: SeriesAugmentation = section(SeriesAugmentation)

    def conflicts(self, data: Any, evaluation: Any) -> Iterator[str]:
        """Settings that contradict each other, one line per error."""
        if self.include_validation and (self.keep == "best" or self.patience):
            yield "train_rnn.include_validation: set keep to last and patience to null; nothing is left to judge by"
