"""Settings of the sequence family."""

import dataclasses

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


@dataclasses.dataclass(frozen=True)
class PreprocessSequences(Preparation):
    """How raw sequences are prepared."""

    validation: float = setting(
        0.1, "share of all sequences held out for validation; images keep their splits", above=0, below=0.5
    )
    splits: str = splits_setting()
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
    missing: str = setting(
        "error",
        "an empty cell of a time series is an error, repeats the previous value, or is zero",
        choices=("error", "previous", "zero"),
    )


@dataclasses.dataclass(frozen=True)
class TrainRnn(Training):
    """How the sequence classifier is trained."""

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
    class_weights: str = class_weights_setting()
    augmentation: Augmentation = section(Augmentation)
