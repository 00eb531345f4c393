"""Models in MLflow: models from code, so that loading needs no pickle, with what goes in and comes out."""

import importlib.metadata
import os
import types
from collections.abc import Mapping
from pathlib import Path

from quartet.artifacts.model_store import read_card
from quartet.params.sections import EvaluateDiffusion
from quartet.tracking.input_examples import example_from

TOP = Path(__file__).parents[2]
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "safetensors", "tokenizers", "torch")


def log_model(run_id: str, family: str, files: Mapping[str, Path], example: Mapping[str, object]) -> None:
    """Log the family's served model.

    Args:
        run_id: of the training.
        family: names the logged model.
        files: what it needs, `model` the model folder among them.
        example: a question to it, as `input_examples.py` puts it.
    """
    import logging
    import warnings

    # A progress bar per small file is noise.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    requirements = [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]
    card = read_card(files["model"])
    # Recorded is not shown: it asks for type hints on predict, where the signature says more, and no filter holds it.
    with mlflow.start_run(run_id=run_id), warnings.catch_warnings(record=True):
        # What `mlflow.pyfunc.log_model` calls. That would import torch, load the model and ask it the example, which
        # takes longer than all else here; the tests ask the served models instead.
        mlflow.models.Model.log(
            artifact_path=None,
            name=family,
            flavor=types.SimpleNamespace(__name__="mlflow.pyfunc", save_model=_save_unasked),
            validate_serving_input=False,
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={name: str(path) for name, path in files.items()},
            code_paths=[str(TOP / "quartet")],
            pip_requirements=requirements,
            signature=signature_of(card),
            input_example=example_from(example),
        )


def _save_unasked(*, validate_serving_input: bool, **settings: object) -> None:
    """`save_model` without the one setting of `Model.log` that it does not know."""
    import mlflow

    mlflow.pyfunc.save_model(**settings)


def signature_of(card: Mapping):
    """What a model takes and answers, as `served_model.py` says it, in MLflow's types."""
    import numpy
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Map, ParamSchema, ParamSpec, Schema, TensorSpec

    def column(kind: DataType, name: str | None = None) -> Schema:
        return Schema([ColSpec(kind, name)])

    classes = Schema(
        [
            ColSpec(DataType.string, "class"),
            ColSpec(DataType.double, "probability"),
            ColSpec(Map(DataType.double), "probabilities"),
        ]
    )
    if card["family"] == "cnn":
        return ModelSignature(column(DataType.binary, "image"), classes)
    if card["family"] == "rnn":
        data = card["data"]
        if data["input"] == "tokens":
            return ModelSignature(column(DataType.string, "passage"), classes)
        kind = numpy.dtype("uint8" if data["input"] == "pixels" else "float32")
        return ModelSignature(Schema([TensorSpec(kind, (-1, -1, data["features"]))]), classes)
    if card["family"] == "lm":
        choice = [
            ParamSpec("tokens", DataType.long, 64),
            ParamSpec("temperature", DataType.double, 0.8),
            ParamSpec("top_k", DataType.long, 0),
            ParamSpec("top_p", DataType.double, 1.0),
            ParamSpec("seed", DataType.long, 0),
        ]
        return ModelSignature(column(DataType.string, "prompt"), column(DataType.string), ParamSchema(choice))
    default = EvaluateDiffusion()
    choice = [
        ParamSpec("steps", DataType.long, default.steps),
        ParamSpec("guidance", DataType.double, default.guidance),
        ParamSpec("temperature", DataType.double, default.temperature),
        ParamSpec("rejection", DataType.double, default.rejection),
        ParamSpec("sampler", DataType.string, ""),
        ParamSpec("seed", DataType.long, 0),
    ]
    return ModelSignature(column(DataType.string, "caption"), column(DataType.string), ParamSchema(choice))
