"""The model that MLflow serves, for all families.

MLflow runs this file as a script when it loads a model. The model's configuration names the family's class.
"""

from pathlib import Path
from pkgutil import resolve_name

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel


class RefusedError(MlflowException):
    """A question that the model does not take: MLflow's server answers with status 400 and the message.

    Messages of other exceptions never reach whoever asked.
    """

    def __init__(self, reason: ValueError):
        super().__init__(str(reason), error_code=INVALID_PARAMETER_VALUE)

    def serialize_as_json(self) -> str:
        """The answer: our sentence, before which the server would otherwise put the whole question."""
        self.message = str(self)
        return super().serialize_as_json()


class ServedModel(PythonModel):
    """Pictures or sequences to classes, prompts to text, or captions to PNG, as the model's signature says."""

    def load_context(self, context) -> None:
        """Rebuild the network from the model folder among the logged files."""
        # Imported here, since MLflow also runs this file when it logs a model, which does not need torch.
        files = {name: Path(path) for name, path in context.artifacts.items()}
        from quartet.artifacts.model_store import read_card

        served, folder = resolve_name(context.model_config["served"]), files.pop("model")
        self.inputs = served.interface(read_card(folder)).inputs
        self.model = served(folder, files)

    def predict(self, context, model_input, params=None):
        """Run the model on a table with one column, or on an array.

        Raises:
            RefusedError: the model does not take an input or a parameter.
        """
        given = model_input.iloc[:, 0] if isinstance(model_input, pd.DataFrame) else np.asarray(model_input)
        try:
            return self.model.predict(self.inputs.checked(given), params or {})
        except ValueError as reason:
            raise RefusedError(reason) from reason


mlflow.models.set_model(ServedModel())
