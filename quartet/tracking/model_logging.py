"""Log models to MLflow as "models from code", which load without pickle, with a signature and an example."""

import base64
import importlib.metadata
import os
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quartet.tracking.served import FORECAST

if TYPE_CHECKING:
    import numpy
    import pandas
    from mlflow.models import ModelSignature

CODE = Path(__file__).parents[1]
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "safetensors", "tokenizers", "torch", "torchvision")


def requirements() -> list[str]:
    """What the served model needs, with the versions that are installed now."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]


def log_model(
    run_id: str,
    name: str,
    served: str,
    files: Mapping[str, Path],
    interface: Mapping[str, Any],
    example: Mapping[str, Any],
    code: Path = CODE,
    needs: Sequence[str] = (),
) -> None:
    """Log a family's served model, unless the run has it already.

    Args:
        run_id: of the training.
        name: of the logged model.
        served: the class that serves the model, as `module:name`.
        files: the files that it needs, by name; `model` is the model folder.
        interface: its inputs and outputs, a `served.Interface` as a dictionary.
        example: an example input, in the format of `served.py`.
        code: the package `quartet` that goes with it.
        needs: as from `requirements`, which is the default.
    """
    import logging
    import warnings

    # No progress bar for each small file.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    model_id = _unfinished_model(run_id, name)
    if model_id is None:
        return
    # Recording warnings hides MLflow's request for type hints on `predict`, which no filter suppresses. The signature
    # says more than type hints would.
    with warnings.catch_warnings(record=True):
        # `mlflow.pyfunc.log_model` would also import torch, load the model and run the example, which takes longer than
        # everything else here. Tests run the served models instead.
        mlflow.models.Model.log(
            artifact_path=None,
            name=name,
            run_id=run_id,
            model_id=model_id,
            flavor=types.SimpleNamespace(__name__="mlflow.pyfunc", save_model=_save_model),
            validate_serving_input=False,
            python_model=str(code / "tracking/served_model.py"),
            model_config={"served": served},
            artifacts={name: str(path) for name, path in files.items()},
            code_paths=[str(code)],
            pip_requirements=list(needs) or requirements(),
            signature=signature_of(interface),
            input_example=example_from(example),
        )


def _unfinished_model(run_id: str, name: str) -> str | None:
    """The id of the run's model of this name, which an outage may have left half-sent; None if it is whole."""
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}' and name = '{name}'")
    if any(model.status == "READY" for model in found):
        return None
    model = found[0] if found else client.create_logged_model(experiment, name=name, source_run_id=run_id)
    return model.model_id


def _save_model(*, validate_serving_input: bool, **settings: Any) -> None:
    """`mlflow.pyfunc.save_model` without the one argument of `Model.log` that it does not take."""
    import mlflow

    mlflow.pyfunc.save_model(**settings)


def signature_of(interface: Mapping[str, Any]) -> "ModelSignature":
    """Convert a `served.Interface`, as a dictionary, to MLflow's signature."""
    import numpy
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Map, ParamSchema, ParamSpec, Schema, TensorSpec

    described = interface["inputs"]
    if "dtype" in described:
        # To another type MLflow would convert: decimal pixels to 0, null to NaN, and series of different lengths never.
        # This one it passes on as it is, and `Array.checked` says what is wrong.
        inputs = Schema([TensorSpec(numpy.dtype("object"), (-1,))])
    else:
        inputs = Schema([ColSpec(DataType[described["kind"]], described["name"])])
    if interface["output"] == "classes":
        columns = [ColSpec(DataType.string, "class"), ColSpec(DataType.double, "probability")]
        output = Schema([*columns, ColSpec(Map(DataType.double), "probabilities")])
    elif interface["output"] == "number":
        output = Schema([ColSpec(DataType.double, "number")])
    elif interface["output"] == "forecast":
        output = Schema([ColSpec(Array(Array(DataType.double)), name) for name in FORECAST])
    else:
        output = Schema([ColSpec(DataType.string)])
    kinds = {int: DataType.long, float: DataType.double, str: DataType.string}
    parameters = [
        ParamSpec(parameter["name"], kinds[type(parameter["default"])], parameter["default"])
        for parameter in interface["parameters"]
    ]
    if not parameters:
        return ModelSignature(inputs, output)
    return ModelSignature(inputs, output, ParamSchema(parameters))


def example_from(sent: Mapping[str, Any]) -> "pandas.DataFrame | numpy.ndarray":
    """Convert an example input in the format of `served.py` to MLflow's: a table with one column, or an array."""
    import numpy
    import pandas

    if "array" in sent:
        return numpy.array(sent["array"], dtype=sent["dtype"])
    values = sent["values"] if sent["kind"] == "string" else [base64.b64decode(value) for value in sent["values"]]
    return pandas.DataFrame({sent["column"]: values})
