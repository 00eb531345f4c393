"""The model that MLflow serves, for all families.

MLflow runs this file as a script when it loads a model. The model's configuration names the family's class.
"""

import threading
from pathlib import Path
from pkgutil import resolve_name

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import DEADLINE_EXCEEDED, INVALID_PARAMETER_VALUE, REQUEST_LIMIT_EXCEEDED
from mlflow.pyfunc import PythonModel

# MLflow's server tells no model that its client has left, and answers with status 504 after a minute; the work goes on.
SECONDS = 30.0  # that a question may take
AT_ONCE = 2  # questions; more would take each other's processor until none is answered in time


class RefusedError(MlflowException):
    """A question that the model does not answer: MLflow's server answers with status 400 and the message.

    The status is 504 where it takes too long, and 429 where too many others are being answered.

    Messages of other exceptions never reach whoever asked.
    """

    def __init__(self, reason: object, code: int = INVALID_PARAMETER_VALUE):
        super().__init__(str(reason), error_code=code)

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
        self.interface = served.interface(read_card(folder))
        self.model = served(folder, files)
        self.free = threading.BoundedSemaphore(AT_ONCE)

    def predict(self, context, model_input, params=None):
        """Run the model on a table with one column, or on an array.

        Raises:
            RefusedError: the model does not take an input or a parameter, is busy, or takes too long.
        """
        from quartet.artifacts.time_limits import TimeLimitReached, time_limit
        from quartet.tracking.served import refuse_too_much

        given = model_input.iloc[:, 0] if isinstance(model_input, pd.DataFrame) else np.asarray(model_input)
        if not self.free.acquire(blocking=False):
            raise RefusedError(f"{AT_ONCE} other questions are being answered; ask again", REQUEST_LIMIT_EXCEEDED)
        try:
            refuse_too_much(self.interface, given, params or {})
            with time_limit(SECONDS):
                return self.model.predict(self.interface.inputs.checked(given), params or {})
        except TimeLimitReached as reason:
            raise RefusedError(reason, DEADLINE_EXCEEDED) from reason
        except ValueError as reason:
            raise RefusedError(reason) from reason
        finally:
            self.free.release()


mlflow.models.set_model(ServedModel())
