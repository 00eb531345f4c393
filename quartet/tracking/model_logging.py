"""Models in MLflow: models from code, so that loading needs no pickle."""

import importlib.metadata
import os
from collections.abc import Mapping
from pathlib import Path

TOP = Path(__file__).parents[2]
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "safetensors", "tokenizers", "torch")


def log_model(run_id: str, family: str, files: Mapping[str, Path]) -> None:
    """Log the family's served model with the files it needs, `model` the model folder among them."""
    import logging
    import warnings

    # A progress bar per small file is noise.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    requirements = [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]
    with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        # It asks for type hints on predict; the served models say in their docstrings what they take.
        warnings.simplefilter("ignore", UserWarning)
        mlflow.pyfunc.log_model(
            name=family,
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={name: str(path) for name, path in files.items()},
            code_paths=[str(TOP / "quartet")],
            pip_requirements=requirements,
        )
