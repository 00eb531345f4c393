"""`python -m quartet generate PROMPT…`: generate text with the trained language model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, clear_errors, listed
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
    tokens: Annotated[int | None, typer.Option(help="How many tokens to generate.", min=1, show_default="100")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="0 takes the most probable token; 1 samples from the model's distribution.", min=0, show_default="0.8"
        ),
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample among this many most probable tokens.", min=1)] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Sample among the most probable tokens that reach this total probability.", min=0, max=1),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(
            help="Above 1, tokens that the text already has become less likely.", min=0.01, show_default="1.0"
        ),
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="End the text before this string; may be given several times.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Same seed, same text.", min=0, max=2**63 - 1, show_default="0")
    ] = None,
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
        continuing = {"--stop": stop, "--repetition-penalty": repetition_penalty}
        sampling = {"--temperature": temperature, "--top-k": top_k, "--top-p": top_p, "--seed": seed}
        if next_words:
            refuse_idle("--next-words", {**continuing, **sampling, "--tokens": tokens})
        elif blank:
            # Where only some texts have blanks, the others are continued.
            filled = all(BLANK in prompt for prompt in asked)
            refuse_idle(f"a text with {BLANK}", {**continuing, **({"--tokens": tokens} if filled else {})})
        generator = trained_generator()
        if generator.translator is not None:
            raise BadInput(
                f"{paths.model('lm')}: was trained on pairs, and translates: python -m quartet translate TEXT"
            )
        temperature = 0.8 if temperature is None else temperature
        choice: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed or 0}
        going_on: dict[str, Any] = {"repetition_penalty": repetition_penalty or 1.0, "stop": stop or []}
        tokens = tokens or 100
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


def refuse_idle(task: str, options: Mapping[str, object]) -> None:
    """Refuse options that were given and would do nothing.

    Raises:
        BadInput: there are some.
    """
    if given := [name for name, value in options.items() if value is not None and value != []]:
        raise BadInput(f"{task} does not use {listed(given)}")


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

    asked = text_questions(file, ("prompt", "text"), verbatim=True)
    prompts = []
    for question in asked.questions:
        try:
            prompts.append(question.read())
        except BadInput as error:
            raise BadInput(f"{file}: {asked.kind} {question.name}: {error}") from error
    return prompts
