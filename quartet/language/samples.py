"""Samples of text from a language model, for the report."""

import torch
from tokenizers import Tokenizer

from quartet.language.generation import fill_blanks, generate, next_words
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.networks.interface import LanguageModel

TEMPERATURES = (0.5, 0.8, 1.0)
SAMPLE_TOKENS = 120
PROMPT = "It is one of the"
BLANKS = ("This is the", " of all that", " in the end.")


def samples(network: LanguageModel, tokenizer: Tokenizer, device: torch.device) -> str:
    """Text generated at several temperatures, likely next words and, for an encoder-decoder, filled blanks."""
    start = torch.tensor([tokenizer.encode("\n").ids], device=device)
    parts = []
    for temperature in TEMPERATURES:
        generator = torch.Generator(device).manual_seed(0)
        tokens = generate(network, start, SAMPLE_TOKENS, temperature=temperature, generator=generator)
        parts.append(f"temperature {temperature}\n{tokenizer.decode(tokens[0].tolist()).strip()}\n")
    prompt = torch.tensor([tokenizer.encode(PROMPT).ids], device=device)
    words = next_words(network, prompt, tokenizer.decode, tokenizer.get_vocab_size(), 8)
    parts.append(f"{PROMPT} …\n" + "\n".join(f"{probability:6.1%}  {word}" for word, probability in words) + "\n")
    if isinstance(network, EncoderDecoder):
        pieces = [tokenizer.encode(piece).ids for piece in BLANKS]
        filled = fill_blanks(network, pieces, temperature=0)
        spans = [f"[{tokenizer.decode(span)}]" for span in filled] + [""]
        parts.append("blanks, filled\n" + "".join(map("".join, zip(BLANKS, spans, strict=True))) + "\n")
    return "\n".join(parts)
