"""What MLflow serves: any family's model, asked in its own terms.

MLflow runs this file as a script when it loads a model. The model's configuration names the class that answers.
"""

from pathlib import Path
from pkgutil import resolve_name

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel


class ServedModel(PythonModel):
    """Pictures or sequences to classes, prompts to text, captions to PNG: what the model's signature says."""

    def load_context(self, context) -> None:
        """Rebuild the network from the model folder among the logged files."""
        # MLflow also runs this file when it logs a model; the class, and torch, are not needed then.
        files = {name: Path(path) for name, path in context.artifacts.items()}
        served = resolve_name(context.model_config["served"])
        self.model = served(files.pop("model"), files)

    def predict(self, context, model_input, params=None):
        """A table with one column, or an array, to what the model answers."""
        tabular = isinstance(model_input, pd.DataFrame)
        questions = list(model_input.iloc[:, 0]) if tabular else np.asarray(model_input)
        return self.model.answer(questions, params or {})


mlflow.models.set_model(ServedModel())
