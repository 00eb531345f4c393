"""`python -m quartet classify IMAGE…`: classify picture files with the trained image classifier."""

from pathlib import Path
from typing import Annotated

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import clear_errors


def classify(
    images: Annotated[list[Path], typer.Argument(help="Picture files of any size: PNG, JPEG, …", exists=True)],
    top: Annotated[int, typer.Option(help="How many classes to print per picture.", min=1)] = 3,
) -> None:
    """Print the most probable classes of each picture with their probabilities, tab-separated."""
    with clear_errors("classify"):
        from quartet.images.serving import ImageClassifier

        classifier = ImageClassifier(paths.model("cnn"))
        found = classifier.classify((str(path), path.read_bytes()) for path in images)
        for path, answer in zip(images, found, strict=True):
            likeliest = list(answer.probabilities.items())[:top]
            typer.echo("\t".join([str(path), *(f"{name} {probability:.2%}" for name, probability in likeliest)]))
