"""The model that MLflow serves, for all families.

MLflow runs this file as a script when it loads a model. The model's configuration names the family's class.
"""

from pathlib import Path
from pkgutil import resolve_name

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel


class ServedModel(PythonModel):
    """Pictures or sequences to classes, prompts to text, or captions to PNG, as the model's signature says."""

    def load_context(self, context) -> None:
        """Rebuild the network from the model folder among the logged files."""
        # Imported here, since MLflow also runs this file when it logs a model, which does not need torch.
        files = {name: Path(path) for name, path in context.artifacts.items()}
        served = resolve_name(context.model_config["served"])
        self.model = served(files.pop("model"), files)

    def predict(self, context, model_input, params=None):
        """Run the model on a table with one column, or on an array."""
        tabular = isinstance(model_input, pd.DataFrame)
        inputs = list(model_input.iloc[:, 0]) if tabular else np.asarray(model_input)
        return self.model.predict(inputs, params or {})


mlflow.models.set_model(ServedModel())
