"""`python -m quartet generate PROMPT`: text from the trained language model."""

from typing import Annotated

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import clear_errors

BLANK = "___"


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
        import torch

        from quartet.artifacts.model_store import load_weights, read_card
        from quartet.datasets.tokenizers import load_tokenizer, token_texts
        from quartet.networks import generation
        from quartet.networks.building import rebuild_network
        from quartet.networks.encoder_decoder import EncoderDecoder

        network = rebuild_network(read_card(paths.model("lm")), load_weights(paths.model("lm")))
        tokenizer = load_tokenizer(paths.processed("text") / "tokenizer.json")
        generator = torch.Generator().manual_seed(seed)
        choice = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "generator": generator}
        if BLANK in prompt:
            if not isinstance(network, EncoderDecoder):
                raise ValueError("blanks are filled by a model trained with train_lm.architecture=encoder-decoder")
            pieces = prompt.split(BLANK)
            filled = generation.fill_blanks(network, [tokenizer.encode(piece).ids for piece in pieces], **choice)
            words = [tokenizer.decode(span) for span in filled]
            typer.echo("".join(piece + word for piece, word in zip(pieces, [*words, ""], strict=True)))
            return
        start = torch.tensor([tokenizer.encode(prompt or "\n").ids])
        if next_words:
            for word, probability in generation.next_words(network, start, token_texts(tokenizer), next_words):
                typer.echo(f"{probability:7.2%}  {word}")
            return
        typer.echo(tokenizer.decode(generation.generate(network, start, tokens, **choice)[0].tolist()))
