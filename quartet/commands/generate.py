"""`python -m quartet generate PROMPT…`: generate text with the trained language model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, clear_errors
from quartet.commands.language_model import trained_generator
from quartet.language import BLANK


def generate(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT…",
            help=f"The texts to continue, all at once. {BLANK} is a blank that an encoder-decoder fills.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Take the prompts from a text file, one per line, or from the column prompt of a table."),
    ] = None,
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
    """Continue a text, printing it as it is written; fill its blanks, or print the most probable next words.

    Several texts are written at once, and printed with a blank line between them; each is the same as by itself.
    """
    with clear_errors("generate"):
        asked = _asked(prompts or [], file)
        blank = any(BLANK in prompt for prompt in asked)
        if next_words and (blank or len(asked) > 1):
            raise BadInput(f"--next-words takes a single text without {BLANK}")
        if (blank or next_words) and (stop or repetition_penalty != 1):
            raise BadInput("--stop and --repetition-penalty are for a text that is continued")
        generator = trained_generator()
        if generator.translator is not None:
            raise BadInput(
                f"{paths.model('lm')}: was trained on pairs, and translates: python -m quartet translate TEXT"
            )
        choice: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        going_on: dict[str, Any] = {"repetition_penalty": repetition_penalty, "stop": stop or []}
        if next_words:
            for word, probability in generator.next_words(asked[0], next_words):
                typer.echo(f"{probability:7.2%}  {word}")
        elif len(asked) > 1:
            typer.echo("\n\n".join(generator.written(asked, tokens, **choice, **going_on)))
        elif blank:
            typer.echo(generator.filled(asked[0], **choice))
        else:
            for piece in generator.pieces(asked[0], tokens, **choice, **going_on):
                typer.echo(piece, nl=False)
            typer.echo()


def _asked(prompts: list[str], file: Path | None) -> list[str]:
    """The prompts, given one by one or in a file.

    Raises:
        BadInput: there are none, both, or the file cannot be read.
    """
    if bool(prompts) == bool(file):
        raise BadInput("give one or more prompts, or --file FILE with one per line")
    if file is None:
        return prompts
    from quartet.datasets.questions import text_questions

    return [question.read() for question in text_questions(file, ("prompt", "text")).questions]
