"""`python -m quartet translate TEXT`: translate with the trained language model."""

from pathlib import Path
from typing import Annotated

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, clear_errors
from quartet.commands import FROM_PARAMS
from quartet.commands.language_model import trained_generator


def translate(
    text: Annotated[str, typer.Argument(help="The text to translate; for many, see `predict lm`.")],
    beam: Annotated[
        int | None, typer.Option(help="Hypotheses that beam search keeps; 1 is greedy.", min=1, max=64, **FROM_PARAMS)
    ] = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(
            help="Divides log-probabilities by the length to this power: more prefers longer ones.",
            min=0,
            max=5,
            **FROM_PARAMS,
        ),
    ] = None,
    best: Annotated[int, typer.Option(help="Print so many translations with their scores.", min=1)] = 1,
    params: Annotated[Path, typer.Option(help="Settings file; its section evaluate.lm has the defaults.")] = Path(
        "params.yaml"
    ),
) -> None:
    """Translate a text with a model that was trained on pairs."""
    with clear_errors("translate"):
        from quartet.settings import read_settings

        settings = read_settings(params).section("evaluate.lm")
        beam = settings.beam if beam is None else beam
        length_penalty = settings.length_penalty if length_penalty is None else length_penalty
        if best > beam:
            raise BadInput(f"--best: found {best}, allowed is 1 to the beam, which is {beam}")
        from quartet.language.translation.decoding import Search

        translator = trained_generator().translator
        if translator is None:
            raise BadInput(
                f"{paths.model('lm')}: was not trained to translate; set download.text to pairs, such as multi30k, and "
                "train_lm.architecture to encoder-decoder, or take a preset such as translation-20min"
            )
        (found,) = translator.translate([text], Search(beam, length_penalty, best))
        for translation, score in found:
            typer.echo(translation if best == 1 else f"{score:8.4f}  {translation}")
