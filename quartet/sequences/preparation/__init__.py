"""Turn raw data into the sequences that training reads (`loading.py` describes the format)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, listed
from quartet.artifacts.shapes import INFO, MANIFEST
from quartet.artifacts.tensor_files import save_arrays
from quartet.artifacts.verification import described_files, read_described, restoring, write_described
from quartet.artifacts.writing import write_table, write_text
from quartet.datasets.images import load_images
from quartet.datasets.reading.tables import NumberStyle, Table, read_table
from quartet.datasets.reading.time_series import TimeSeries, filled, in_one_order
from quartet.datasets.reading.ts_files import read_ts_files
from quartet.datasets.splits import SPLITS, Examples, Splits, split_examples
from quartet.datasets.tokenizers import encode_each, train_tokenizer, training_sample
from quartet.params.fields import changed, say_idle
from quartet.sequences.loading import as_sequences, series_values
from quartet.sequences.preparation.forecast_tables import histories_from_table, task_of
from quartet.sequences.preparation.forecasts import prepare_forecast
from quartet.sequences.preparation.histories import Histories
from quartet.sequences.preparation.passages import Passages, passages_from_table
from quartet.sequences.preparation.series_tables import series_from_table
from quartet.sequences.preparation.standardising import standardisation, varying
from quartet.sequences.settings import Columns, PreprocessSequences

REASONS = {
    "classes": "each series has a label",
    "numbers": "each series has a number to predict",
    "forecast": "there is neither a label nor a number to predict",
}
OF_SPLITS = ("splits", "validation", "split_seed")
TIME_SERIES = ("csv", "parquet", "ts")  # sources that give the same data whichever of them holds the series


def prepare_sequences(raw: Path, folder: Path, settings: PreprocessSequences, images: Path | None = None) -> dict:
    """Cut, check and split the sequences; returns the content of `info.json`.

    `images` is the folder of processed images that the sources `image-rows` and `image-pixels` use; None for the
    pipeline's own.

    Raises:
        BadInput: a user's file is malformed, or its sequences cannot be split.
    """
    manifest = read_described(raw / "manifest.json", MANIFEST["sequences"], restoring(raw, "download@sequences"))
    source = manifest["source"]
    kind = source.partition(":")[0]
    if kind in TIME_SERIES:
        found, task = read_series(source, manifest["files"], raw, settings)
        print(f"{source}: {task['task']}, since {task['task_reason']}", flush=True)
        if isinstance(found, Histories):
            info = {**prepare_forecast(found, source, folder, settings), **task}
        else:
            info = {**_from_time_series(found, source, folder, settings), **task}
    elif kind == "passages":
        _say_idle_settings(settings, "passages", keep=("columns", *OF_SPLITS, "vocabulary_size"))
        info = _from_passages(read_passages(source, manifest["files"], raw, settings), source, folder, settings)
    elif kind == "docstring-topics":
        _say_idle_settings(settings, "the topics of docstrings", keep=(*OF_SPLITS, "vocabulary_size"))
        info = _from_passages(_docstring_topics(raw), source, folder, settings, label="topic")
    else:
        _say_idle_settings(
            settings, "images as sequences", keep=("pixel_order", "split_seed") if kind == "image-pixels" else ()
        )
        info = _from_images(kind, images or paths.processed("images"), folder, settings)
    info = {**info, "kind": "time-series" if kind in TIME_SERIES else kind, **described_files(folder)}
    write_described(folder / "info.json", info)
    return info


def read_series(
    source: str, files: dict[str, str | None], folder: Path, settings: PreprocessSequences
) -> tuple[TimeSeries | Histories, dict[str, str]]:
    """The time series of some `files` in `folder`, each with its split, checked; and the task, with its reason.

    Those with labels or numbers to predict are in one order, those to be continued in that of time.

    Raises:
        BadInput: a file is malformed or does not fit the task; the message names `source` and the row.
    """
    kind, _, path = source.partition(":")
    if kind == "ts":
        series = read_ts_files({folder / name: split for name, split in files.items()})
        task = "classes" if series.targets is None else "numbers"
        if settings.task not in ("auto", task):
            raise BadInput(f"{source}: its series are for {task}, and preprocess.sequences.task is {settings.task}")
    else:
        (name,) = files
        style = NumberStyle("preprocess.sequences", settings.decimal, settings.thousands)
        table = read_table(folder / name, Path(path))
        _refuse_absent(table, settings.columns, ("series", "step", "split", "group"))
        task = task_of(table, settings)
        if task == "forecast":
            return histories_from_table(table, settings, style), _with_reason(task, settings)
        series = series_from_table(table, settings.columns, style)
        if (series.targets is None) != (task == "classes"):
            raise BadInput(f"{source}: has no column for preprocess.sequences.task = {settings.task}")
    _refuse_settings_of_forecasts(source, task, settings)
    return in_one_order(filled(series, settings.missing)), _with_reason(task, settings)


def _refuse_absent(table: Table, columns: Columns, roles: Sequence[str]) -> None:
    """Raise BadInput for a column that the settings name and the table lacks, or that is read but for its capitals.

    A name that no column has keeps a column `split` or `group` from being read.
    """
    for role in changed(columns, roles):
        name = getattr(columns, role)
        if name not in table.data and not (role in ("split", "group") and role in table.data):
            raise BadInput(
                f"{table.path}: has no column {name}, which preprocess.sequences.columns.{role} names; its columns are "
                f"{listed(table.columns)}"
            )
    table.refuse_near([columns.split, columns.group], but_numbers="text" not in roles)  # which are features


def _refuse_settings_of_forecasts(source: str, task: str, settings: PreprocessSequences) -> None:
    """Raise BadInput for settings of a forecast, which would change nothing for another task."""
    names = ("horizon", "window", "season", "train_steps", "validation_steps", "test_steps")
    given = [name for name in names if getattr(settings, name) is not None]
    if settings.columns.known:
        given.append("columns.known")
    if given:
        raise BadInput(
            f"{source}: is for {task}; only a forecast takes preprocess.sequences.{listed(given, ', .')}: set to null, "
            "or set preprocess.sequences.task to forecast"
        )


def _say_idle_settings(settings: PreprocessSequences, source: str, keep: Sequence[str]) -> None:
    """Print which settings that someone changed say nothing of such sequences; those to `keep` do."""
    of_series = ("task", "horizon", "window", "season", "train_steps", "validation_steps", "test_steps")
    others = ("decimal", "thousands", "standardise", "missing", "pixel_order", "columns", *OF_SPLITS, "vocabulary_size")
    names = [name for name in (*of_series, *others) if name not in keep]
    say_idle("preprocess.sequences", changed(settings, names), source)


def _with_reason(task: str, settings: PreprocessSequences) -> dict[str, str]:
    return {"task": task, "task_reason": REASONS[task] if settings.task == "auto" else "the settings say so"}


def read_passages(source: str, files: dict[str, str | None], folder: Path, settings: PreprocessSequences) -> Passages:
    """The labelled texts of a user's table; arguments and errors as of `read_series`."""
    (name,) = files
    columns = settings.columns
    table = read_table(folder / name, Path(source.partition(":")[2]))
    _refuse_absent(table, columns, ("text", "label", "split", "group"))
    return passages_from_table(table, text=columns.text, label=columns.label, split=columns.split, group=columns.group)


def split_sequences(found: TimeSeries | Passages, source: str, settings: PreprocessSequences) -> Splits:
    """Split series or passages by the rule of `datasets/splits.py`.

    Raises:
        BadInput: they cannot be split.
    """
    labels = found.labels if found.labels is not None else [""] * len(found.names)
    classes, numbers = np.unique(labels, return_inverse=True)
    if found.labels is not None and len(classes) < 2:
        raise BadInput(f"{source}: all are labelled {str(classes[0])!r}; a classifier needs at least two labels")
    examples = Examples(
        labels=numbers,
        classes=list(map(str, classes)),
        names=found.names,
        own=found.splits,
        groups=found.groups,
        contents=found.contents(),
    )
    try:
        splits = split_examples(examples, settings.splits, settings.validation, settings.split_seed)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from error
    if isinstance(found, Passages) and found.unused:
        splits.report["warnings"].append(f"columns that are not used: {listed(found.unused)}")
    return splits


def _from_images(kind: str, images: Path, folder: Path, settings: PreprocessSequences) -> dict:
    """Read images by row, from top to bottom, or by pixel; the splits are those of the images."""
    described = read_described(images / "info.json", INFO["images"], restoring(images, "preprocess@images"))
    channels, height, width = described["channels"], described["size"], described["size"]
    steps, features = (height, width) if kind == "image-rows" else (height * width, 1)
    info = {
        "source": described["source"],
        "input": "pixels",
        "classes": described["classes"],
        "image_shape": [channels, height, width],
        "steps": steps,
        "features": channels * features,
        "mean": described["mean"],
        "std": described["std"],
        "counts": described["counts"],
        "splits": described["splits"],
        **({"task": described["task"]} if "task" in described else {}),
    }
    if kind == "image-pixels" and settings.pixel_order == "permuted":
        info["order"] = np.random.default_rng(settings.split_seed).permutation(steps).tolist()
    for split in SPLITS:
        images_of_split, labels = load_images(images, split)
        values = as_sequences(images_of_split, info).flatten(0, 1).numpy()
        _save(folder, split, values, np.full(len(labels), steps), labels.numpy())
    return info


def _from_time_series(series: TimeSeries, source: str, folder: Path, settings: PreprocessSequences) -> dict:
    """Numbers per step, less the mean of the training series."""
    splits = split_sequences(series, source, settings)
    splits.print(source)
    each = series.each()
    classes = [] if series.labels is None else sorted(set(series.labels))
    goals = np.asarray(series.targets if series.labels is None else np.searchsorted(classes, series.labels))
    described = {
        **standardisation(settings.standardise, [each[index] for index in splits.indices["train"]]),
        **({} if series.targets is None else _numbers(goals[splits.indices["train"]])),
    }
    for split, chosen in splits.indices.items():
        values = np.concatenate([series_values(each[index], described) for index in chosen])
        _save(folder, split, values, series.lengths[chosen], goals[chosen])
    return {
        "source": source,
        "input": "numbers",
        "classes": classes,
        "steps": int(series.lengths.max()),
        "features": len(series.features),
        "feature_names": list(series.features),
        **described,
        "counts": {split: len(chosen) for split, chosen in splits.indices.items()},
        "splits": splits.report,
    }


def _numbers(targets: np.ndarray) -> dict:
    """What `info.json` says of the numbers to predict, from those of the training series."""
    mean, std = targets.mean(), targets.std()
    edges = np.quantile(targets, np.linspace(0, 1, 6)[1:-1])
    return {"target_mean": float(mean), "target_std": float(varying(mean, std)), "quintiles": edges.tolist()}


def _docstring_topics(raw: Path) -> Passages:
    table = pd.read_csv(raw / "passages.csv", keep_default_na=False)
    names, topics = table["object_name"].tolist(), table["topic"].tolist()
    return Passages(names=names, texts=table["text"].tolist(), labels=topics, groups=names)


def _from_passages(
    passages: Passages, source: str, folder: Path, settings: PreprocessSequences, label: str = "label"
) -> dict:
    """Tokens from a vocabulary of the training passages; `label` is the name of the column of labels."""
    splits = split_sequences(passages, source, settings)
    splits.print(source)
    classes, labels = np.unique(passages.labels, return_inverse=True)
    texts = np.asarray(passages.texts, dtype=object)
    read = texts[splits.indices["train"]].tolist()
    tokenizer = train_tokenizer("bpe", training_sample(read, sum(map(len, read))), settings.vocabulary_size)
    encoded = encode_each(tokenizer, passages.texts)
    lengths = np.asarray([len(tokens) for tokens in encoded])
    for split, chosen in splits.indices.items():
        values = np.concatenate([encoded[i] for i in chosen]).astype(np.int32)[:, None]
        _save(folder, split, values, lengths[chosen], labels[chosen])
        table = pd.DataFrame({label: classes[labels[chosen]], "text": texts[chosen]})
        write_table(folder / f"{split}.csv", table)
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    return {
        "source": source,
        "input": "tokens",
        "classes": list(map(str, classes)),
        "steps": int(lengths.max()),
        "features": 1,
        "vocabulary_size": tokenizer.get_vocab_size(),
        "counts": {split: len(chosen) for split, chosen in splits.indices.items()},
        "splits": splits.report,
    }


def _save(folder: Path, split: str, values: np.ndarray, lengths: np.ndarray, goals: np.ndarray) -> None:
    """`goals` are classes or, floating-point, numbers to predict."""
    name, kind = ("targets", np.float64) if goals.dtype.kind == "f" else ("labels", np.int64)
    arrays = {"values": values, "lengths": lengths.astype(np.int64), name: goals.astype(kind)}
    save_arrays(folder / f"{split}.safetensors", arrays)
