"""What MLflow serves: any of the four models, asked in its own terms.

MLflow runs this file as a script when it loads a model; the model's card says which family it is.
"""

import base64
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

from quartet.artifacts.model_store import read_card


class ServedModel(PythonModel):
    """Pictures or sequences to classes, prompts to text, captions to PNG."""

    def load_context(self, context) -> None:
        """Rebuild the network from the model folder among the logged files."""
        # MLflow also runs this file when it logs a model; torch is not needed then.
        from quartet.serving.classifiers import ImageClassifier, SequenceClassifier
        from quartet.serving.painter import Painter
        from quartet.serving.text_generator import TextGenerator

        folder = Path(context.artifacts["model"])
        self.family = read_card(folder)["family"]
        tokenizer = context.artifacts.get("tokenizer")
        self.model = {
            "cnn": lambda: ImageClassifier(folder),
            "rnn": lambda: SequenceClassifier(folder, tokenizer and Path(tokenizer)),
            "lm": lambda: TextGenerator(folder, Path(tokenizer)),
            "diffusion": lambda: Painter(folder),
        }[self.family]()

    def predict(self, context, model_input, params=None):
        """Answer as the family does; the model's signature says what goes in and comes out.

        `cnn`: a column `image` of picture files' bytes; `rnn`: sequences `(batch, steps, features)`, or a column
        `passage`; both return a table with the class, its probability and those of all classes. `lm`: a column
        `prompt` to a list of texts. `diffusion`: a column `caption` to a list of PNG files in base64.
        """
        params = params or {}
        if self.family == "rnn" and not isinstance(model_input, pd.DataFrame):
            return as_table(self.model.classify(np.asarray(model_input)))
        column = list(model_input.iloc[:, 0])
        if self.family == "cnn":
            return as_table(self.model.classify((f"image {row}", image) for row, image in enumerate(column)))
        if self.family == "rnn":
            return as_table(self.model.classify(column))
        if self.family == "lm":
            choice = {
                "temperature": params["temperature"],
                "top_k": params["top_k"] or None,
                "top_p": params["top_p"],
                "seed": params["seed"],
            }
            return [self.model.continued(prompt, params["tokens"], **choice) for prompt in column]
        from quartet.serving.painter import to_pixels, to_png

        how = {name: params[name] for name in ("steps", "guidance", "temperature", "rejection", "seed")}
        *_, pictures = self.model.drawing(column, 1, sampler=params["sampler"] or None, **how)
        return [base64.b64encode(to_png(pixels)).decode() for pixels in to_pixels(pictures)]


def as_table(found) -> pd.DataFrame:
    """A row per answer."""
    rows = [(answer.name, answer.probability, dict(answer.probabilities)) for answer in found]
    return pd.DataFrame(rows, columns=["class", "probability", "probabilities"])


mlflow.models.set_model(ServedModel())
