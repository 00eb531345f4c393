"""The tables of the four families and of the data that they read.

Code that serves all families (stages, commands, tracking, the report) finds them through these two tables. To add a
family, add a package, an entry here, and its settings and stages in `params.yaml` and `dvc.yaml`. The tables name code
as `module:name`; `pkgutil.resolve_name` imports it only when it is needed, since most of it imports torch.
"""

import dataclasses
from collections.abc import Mapping
from enum import StrEnum


@dataclasses.dataclass(frozen=True)
class Headline:
    """The most important test score of a model, and whether higher is better."""

    score: str
    higher_is_better: bool = True


@dataclasses.dataclass(frozen=True)
class Item:
    """A dataset that is downloaded and prepared.

    Attributes:
        key: its name in `data/raw/`, `data/processed/` and the settings `download.KEY` and `preprocess.KEY`.
        source: the setting that says where it comes from.
        settings: the section that says how it is prepared.
        download: takes the source, the fetching settings and a folder to fill; returns the manifest.
        prepare: takes the raw folder, a folder to fill and the settings; returns the content of `info.json`.
        inspect: takes a user's own source and the settings; returns an `Inspection` (`datasets/inspection.py`).
        own: the kinds of sources of a user's own, each with the endings of such files; `/` is a folder.
    """

    key: str
    source: str
    settings: str
    download: str
    prepare: str
    inspect: str
    own: Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes:
        key: its name in `models/`, `reports/` and the settings.
        title: its name in the report.
        item: the key of the data that it is trained on.
        headlines: its headline score per task; models whose card names no task use the first.
        sections: its sections of `params.yaml`, among them `train_KEY`, by dotted name.
        networks: a table of its networks by the name in a model's card.
        plan: returns the `Plan` of a training (`training/run.py`).
        evaluation: scores the model on the test split, writes pictures and tables, and returns the scores.
        evaluation_reads: the dotted names of the sections that `evaluation` takes, in order.
        served: the class through which a trained model is served (`tracking/served_model.py`).
        published_weights: brings weights that others have trained, if the settings of its training ask for some.
    """

    key: str
    title: str
    item: str
    headlines: Mapping[str, Headline]
    sections: Mapping[str, str]
    networks: str
    plan: str
    evaluation: str
    served: str
    evaluation_reads: tuple[str, ...] = ()
    published_weights: str | None = None

    @property
    def training_section(self) -> str:
        """The name of its training section in `params.yaml`."""
        return f"train_{self.key}"

    @property
    def evaluation_section(self) -> str:
        """The name of its evaluation section in `params.yaml`, which may not exist."""
        return f"evaluate.{self.key}"

    def headline(self, task: str | None = None) -> Headline:
        """The headline score of models of this task."""
        return self.headlines[task] if task else next(iter(self.headlines.values()))


_ITEMS = (
    Item(
        key="images",
        source="quartet.images.settings:SOURCE",
        settings="quartet.images.settings:PreprocessImages",
        download="quartet.images.sources:download_images",
        prepare="quartet.images.preparation:prepare_images",
        inspect="quartet.images.inspection:inspect_images",
        own={"folder": ("/",), "table": (".csv", ".tsv", ".jsonl", ".parquet")},
    ),
    Item(
        key="text",
        source="quartet.language.settings:SOURCE",
        settings="quartet.language.settings:PreprocessText",
        download="quartet.language.sources:download_text",
        prepare="quartet.language.preparation:prepare_text",
        inspect="quartet.language.inspection:inspect_texts",
        own={"file": (".txt", ".md"), "folder": ("/",), "jsonl": (".jsonl",), "pairs": (".csv", ".tsv")},
    ),
    Item(
        key="sequences",
        source="quartet.sequences.settings:SOURCE",
        settings="quartet.sequences.settings:PreprocessSequences",
        download="quartet.sequences.sources:download_sequences",
        prepare="quartet.sequences.preparation:prepare_sequences",
        inspect="quartet.sequences.inspection:inspect_sequences",
        own={
            "csv": (".csv", ".tsv"),
            "parquet": (".parquet",),
            "ts": (".ts",),
            "passages": (".csv", ".tsv", ".jsonl", ".parquet"),
        },
    ),
)
ITEMS = {item.key: item for item in _ITEMS}

_FAMILIES = (
    Family(
        key="cnn",
        title="Convolutional network",
        item="images",
        headlines={"classes": Headline("accuracy"), "captions": Headline("classes")},
        sections={"train_cnn": "quartet.images.settings:TrainCnn"},
        networks="quartet.images.networks:NETWORKS",
        plan="quartet.images.training.plan:plan",
        evaluation="quartet.images.evaluation:evaluate",
        served="quartet.images.serving:ImageClassifier",
        published_weights="quartet.images.sources.trained_weights:bring_trained_weights",
    ),
    Family(
        key="rnn",
        title="Recurrent network",
        item="sequences",
        headlines={
            "classes": Headline("accuracy"),
            "numbers": Headline("rmse", higher_is_better=False),
            "forecast": Headline("mase", higher_is_better=False),
            "captions": Headline("classes"),
        },
        sections={"train_rnn": "quartet.sequences.settings:TrainRnn"},
        networks="quartet.sequences.networks:NETWORKS",
        plan="quartet.sequences.training.plan:plan",
        evaluation="quartet.sequences.evaluation:evaluate",
        served="quartet.sequences.serving:SequenceModel",
    ),
    Family(
        key="lm",
        title="Language model",
        item="text",
        headlines={"text": Headline("bits_per_byte", higher_is_better=False), "translation": Headline("bleu")},
        sections={
            "train_lm": "quartet.language.settings:TrainLm",
            "evaluate.lm": "quartet.language.settings:EvaluateLm",
        },
        networks="quartet.language.networks:NETWORKS",
        plan="quartet.language.training:plan",
        evaluation="quartet.language.evaluation:evaluate",
        evaluation_reads=("evaluate.lm",),
        served="quartet.language.serving:TextGenerator",
    ),
    Family(
        key="diffusion",
        title="Text to image",
        item="images",
        headlines={"classes": Headline("fidelity"), "captions": Headline("retrieval_top1")},
        sections={
            "train_diffusion": "quartet.text_to_image.settings:TrainDiffusion",
            "evaluate.diffusion": "quartet.text_to_image.settings:EvaluateDiffusion",
        },
        networks="quartet.text_to_image.networks:NETWORKS",
        plan="quartet.text_to_image.training:plan",
        evaluation="quartet.text_to_image.evaluation:evaluate",
        evaluation_reads=("evaluate.diffusion", "train_diffusion", "train_cnn"),
        served="quartet.text_to_image.serving:Painter",
    ),
)
FAMILIES = {family.key: family for family in _FAMILIES}
# Brings what the training of a family starts from.
BRING_WEIGHTS = "quartet.training.start_weights:bring_weights"

# The choices of command-line arguments. mypy would like the members listed here, but the tables already have them.
ItemKey = StrEnum("ItemKey", list(ITEMS))  # type: ignore[misc]
DownloadKey = StrEnum("DownloadKey", [*ITEMS, "weights"])  # type: ignore[misc]
FamilyKey = StrEnum("FamilyKey", list(FAMILIES))  # type: ignore[misc]
