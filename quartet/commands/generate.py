"""`python -m quartet generate PROMPT`: generate text with the trained language model."""

from typing import Annotated, Any

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, clear_errors
from quartet.commands.language_model import trained_generator
from quartet.language import BLANK


def generate(
    prompt: Annotated[
        str, typer.Argument(help=f"The text to continue. {BLANK} is a blank that an encoder-decoder fills.")
    ],
    tokens: Annotated[int, typer.Option(help="How many tokens to generate.", min=1)] = 100,
    temperature: Annotated[
        float, typer.Option(help="0 takes the most probable token; 1 samples from the model's distribution.", min=0)
    ] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Sample among this many most probable tokens.", min=1)] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Sample among the most probable tokens that reach this total probability.", min=0, max=1),
    ] = None,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1, tokens that the text already has become less likely.", min=0.01)
    ] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(help="End the text before this string; may be given several times.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same text.", min=0, max=2**63 - 1)] = 0,
    next_words: Annotated[
        int, typer.Option(help="Instead, print this many of the most probable next words.", min=0)
    ] = 0,
) -> None:
    """Continue a text, printing it as it is written; fill its blanks, or print the most probable next words."""
    with clear_errors("generate"):
        if BLANK in prompt and next_words:
            raise ValueError(f"--next-words takes a text without {BLANK}")
        if (BLANK in prompt or next_words) and (stop or repetition_penalty != 1):
            raise BadInput("--stop and --repetition-penalty are for a text that is continued")
        generator = trained_generator()
        if generator.translator is not None:
            raise BadInput(
                f"{paths.model('lm')}: was trained on pairs, and translates: python -m quartet translate TEXT"
            )
        choice: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        if BLANK in prompt:
            typer.echo(generator.filled(prompt, **choice))
        elif next_words:
            for word, probability in generator.next_words(prompt, next_words):
                typer.echo(f"{probability:7.2%}  {word}")
        else:
            going_on: dict[str, Any] = {"repetition_penalty": repetition_penalty, "stop": stop or []}
            for piece in generator.pieces(prompt, tokens, **choice, **going_on):
                typer.echo(piece, nl=False)
            typer.echo()
