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
    """Print the most probable classes of each picture with their probabilities, tab-separated.

    Files that are no pictures are named on standard error; the others are answered, and the exit code is 1.
    """
    with clear_errors("classify"):
        from quartet.commands.bulk import answers_in_bulk, reason
        from quartet.images.serving import ImageClassifier

        classifier, broken = ImageClassifier(paths.model("cnn")), 0
        for path, answer in answers_in_bulk(images, classifier.classify_files):
            if isinstance(answer, Exception):
                typer.echo(f"classify: {reason(answer)}", err=True)
                broken += 1
                continue
            likeliest = list(answer.probabilities.items())[:top]
            typer.echo("\t".join([str(path), *(f"{name} {probability:.2%}" for name, probability in likeliest)]))
        if broken:
            typer.echo(f"classify: {broken} of {len(images)} files could not be classified", err=True)
            raise typer.Exit(1)
