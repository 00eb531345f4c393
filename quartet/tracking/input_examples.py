"""Input examples: a question that a trained model understands, on its way from the stage to MLflow as plain JSON."""

import base64
from collections.abc import Mapping
from pathlib import Path

from quartet.artifacts import paths
from quartet.artifacts.model_store import read_card


def example_for(model: Path) -> dict[str, object]:
    """A question to the model in a folder; pictures and sequences are from the validation split.

    Returns:
        `{"column": …, "texts": […]}`, `{"column": …, "files": [base64, …]}` or `{"array": nested lists, "dtype": …}`.
    """
    card = read_card(model)
    family, data = card["family"], card["data"]
    if family == "cnn":
        from quartet.datasets.images import load_images
        from quartet.serving.painter import to_png

        images, _ = load_images(paths.processed("images"), "validation")
        pictures = [to_png(image.permute(1, 2, 0).numpy()) for image in images[:2]]
        return {"column": "image", "files": [base64.b64encode(picture).decode() for picture in pictures]}
    if family == "rnn":
        if data["input"] == "tokens":
            return {"column": "passage", "texts": ["Fit the model according to the given training data."]}
        from quartet.datasets.sequences import load_sequences

        sequences = load_sequences(paths.processed("sequences"), "validation")
        values = sequences.values[: int(sequences.lengths[0])][None].numpy()
        return {"array": values.tolist(), "dtype": str(values.dtype)}
    if family == "lm":
        return {"column": "prompt", "texts": ["The "]}
    from quartet.datasets.captions import TEMPLATES, captioner

    return {"column": "caption", "texts": [captioner(data).caption(0, TEMPLATES[0])]}


def example_from(sent: Mapping[str, object]):
    """What `example_for` put into JSON, as MLflow takes it: a table with one column, or an array."""
    import numpy
    import pandas

    if "array" in sent:
        return numpy.array(sent["array"], dtype=sent["dtype"])
    asked = sent["texts"] if "texts" in sent else [base64.b64decode(file) for file in sent["files"]]
    return pandas.DataFrame({sent["column"]: asked})
