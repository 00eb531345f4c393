"""`python -m quartet generate PROMPT`: text from the trained language model."""

from typing import Annotated, Any

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import clear_errors
from quartet.language import BLANK


def generate(
    prompt: Annotated[str, typer.Argument(help=f"What to continue; {BLANK} marks a blank, for an encoder-decoder.")],
    tokens: Annotated[int, typer.Option(help="How many tokens to write.", min=1)] = 100,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest; 1 samples as learnt.", min=0)] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Choose among so many of the likeliest tokens.", min=1)] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Choose among the likeliest tokens that reach this probability.", min=0, max=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same text.")] = 0,
    next_words: Annotated[
        int, typer.Option(help="Print so many of the likeliest next words with their probabilities instead.", min=0)
    ] = 0,
) -> None:
    """Continue a text, fill its blanks, or say which words are likely to come next."""
    with clear_errors("generate"):
        if BLANK in prompt and next_words:
            raise ValueError(f"--next-words wants a text without {BLANK}")
        from quartet.artifacts.model_store import read_card_for
        from quartet.language.serving import TextGenerator

        model, processed = paths.model("lm"), paths.processed("text")
        read_card_for(model, processed)
        generator = TextGenerator(model, {"tokenizer": processed / "tokenizer.json"})
        choice: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        if BLANK in prompt:
            typer.echo(generator.filled(prompt, **choice))
        elif next_words:
            for word, probability in generator.next_words(prompt, next_words):
                typer.echo(f"{probability:7.2%}  {word}")
        else:
            typer.echo(generator.continued(prompt, tokens, **choice))
