"""What MLflow serves: any of the four models, asked in its own terms.

MLflow runs this file as a script when it loads a model; the model's card says which family it is.
"""

import base64
import io
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.pyfunc import PythonModel

from quartet.artifacts.model_store import load_weights, read_card
from quartet.datasets.batches import normalise
from quartet.datasets.captions import captioner
from quartet.datasets.sequences import network_inputs
from quartet.datasets.tokenizers import load_tokenizer
from quartet.networks.building import rebuild_network
from quartet.networks.generation import generate
from quartet.networks.samplers import draw


class ServedModel(PythonModel):
    """Images or sequences to classes, prompts to text, captions to PNG."""

    def load_context(self, context) -> None:
        """Rebuild the network from the model folder among the logged files."""
        folder = Path(context.artifacts["model"])
        self.files = context.artifacts
        self.card = read_card(folder)
        self.network = rebuild_network(self.card, load_weights(folder))

    @torch.no_grad()
    def predict(self, context, model_input, params=None):
        """Answer as the family does.

        `cnn`: uint8 images `(batch, channels, size, size)`; `rnn`: uint8 sequences `(batch, steps, features)`; both
        return a table with the class and the probability of each class. `lm`: prompts to continued text. `diffusion`:
        captions to PNG, base64.
        """
        if self.card["family"] in ("cnn", "rnn"):
            return self._classify(np.asarray(model_input))
        words = model_input.iloc[:, 0] if isinstance(model_input, pd.DataFrame) else model_input
        return [self._answer(str(text)) for text in words]

    def _classify(self, inputs: np.ndarray) -> pd.DataFrame:
        data = self.card["data"]
        values = torch.from_numpy(np.ascontiguousarray(inputs))
        if self.card["family"] == "rnn":
            logits = self.network(network_inputs(values, data))
        else:
            logits = self.network(normalise(values.float() / 255, data["mean"], data["std"]))
        probabilities = logits.softmax(dim=1)
        table = pd.DataFrame(probabilities.numpy(), columns=data["classes"])
        table.insert(0, "class", [data["classes"][label] for label in probabilities.argmax(dim=1).tolist()])
        return table

    def _answer(self, text: str) -> str:
        generator = torch.Generator().manual_seed(0)
        if self.card["family"] == "lm":
            tokenizer = load_tokenizer(Path(self.files["tokenizer"]))
            tokens = torch.tensor([tokenizer.encode(text or "\n").ids])
            continued = generate(self.network, tokens, 64, temperature=0.7, generator=generator)
            return tokenizer.decode(continued[0].tolist())
        from PIL import Image

        captions = captioner(self.card["data"]).encode([text])
        noise = torch.randn(1, *self.network.picture_shape, generator=generator)
        picture = draw(self.network, captions, noise, steps=10, guidance=1.0)[0]
        pixels = ((picture + 1) * 127.5).round().byte().permute(1, 2, 0).squeeze(-1).numpy()
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format="PNG")
        return base64.b64encode(stream.getvalue()).decode()


mlflow.models.set_model(ServedModel())
