"""Text from a language model, token by token: temperature, top-k, nucleus (top-p) sampling; and filling in blanks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quartet.language.incremental_decoding import IncrementalDecoder
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.networks.interface import LanguageModel


def sampled(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw a token from each row of logits `(batch, vocabulary)`; returns `(batch, 1)`.

    Args:
        logits: of the next token.
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: only so many of the likeliest tokens come into question.
        top_p: only the likeliest tokens that together reach this probability (nucleus, Holtzman et al. 2020).
        generator: of the randomness.

    Raises:
        ValueError: a choice that leaves no token, or the unlikeliest ones.
    """
    if temperature < 0:
        raise ValueError(f"temperature: found {temperature}, allowed is 0 or more")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k: found {top_k}, allowed is 1 or more")
    if top_p is not None and not 0 <= top_p <= 1:
        raise ValueError(f"top_p: found {top_p}, allowed is 0 to 1")
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    if top_k is None and top_p is None:  # spares the sorting
        return _drawn((logits / temperature).softmax(dim=-1), generator)
    ordered, tokens = (logits / temperature).sort(dim=-1, descending=True)  # (batch, vocabulary)
    if top_k is not None:
        ordered, tokens = ordered[:, :top_k], tokens[:, :top_k]
    probabilities = ordered.softmax(dim=-1)
    if top_p is not None:
        before = probabilities.cumsum(dim=-1) - probabilities  # what the likelier ones reach without this one
        probabilities = probabilities * ((before < top_p) | (before == 0))  # the likeliest one always
    return tokens.gather(-1, _drawn(probabilities, generator))


def _drawn(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """An index of each row of `(batch, choices)`, with a probability in proportion to its weight: `(batch, 1)`.

    By the inverse of the cumulative distribution, which takes a fifth of the time of `torch.multinomial`.
    """
    reached = weights.cumsum(dim=-1)
    chance = torch.rand(len(weights), 1, generator=generator, device=weights.device)
    found = torch.searchsorted(reached, chance * reached[:, -1:], right=True)
    return found.clamp(max=weights.shape[-1] - 1)


@torch.inference_mode()
def generate(network: LanguageModel, prompt: Tensor, count: int, *, cached: bool = True, **choice: Any) -> Tensor:
    """Continue `(batch, steps)` token ids by `count` tokens; returns `(batch, steps + count)`.

    `choice` is how to choose a token, as `sampled` takes it.

    `cached` keeps what the network knows of the past (keys and values, or hidden states), so that a token costs one
    step's work; without, everything is read again for every token, to the same text. Once the network's context is
    full, it goes on from the second half of what it saw.
    """
    tokens = prompt
    window = tokens[:, -network.context :]
    read, advance = begun(network, window)
    start, prompted = tokens.shape[1] - window.shape[1], tokens.shape[1]
    for number in range(count):
        if number:
            if tokens.shape[1] - start > network.context:
                start, prompted = tokens.shape[1] - network.context // 2, tokens.shape[1]
                read, advance = begun(network, tokens[:, start:])
            elif cached:
                read = advance(tokens[:, -1:])
            else:
                _, past = network.begin(tokens[:, start:prompted])
                read = network.advance(tokens[:, prompted:], past)[0][:, -1]
        tokens = torch.cat([tokens, sampled(read, **choice)], dim=1)
    return tokens


def begun(network: LanguageModel, prompt: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Read a prompt `(batch, steps)`, with a cache.

    Returns:
        `(batch, vocabulary)` logits of the next token, and a function from the token chosen, `(batch, 1)`, to those of
        the one after it.
    """
    logits, past = network.begin(prompt)
    if IncrementalDecoder.suits(network, prompt):
        incremental = IncrementalDecoder(network, past)
        return logits[:, -1], lambda token: incremental.advance(int(token))

    def advance(token: Tensor) -> Tensor:
        nonlocal past
        following, past = network.advance(token, past)
        return following[:, -1]

    return logits[:, -1], advance


@torch.inference_mode()
def fill_blanks(
    network: EncoderDecoder,
    pieces: list[list[int]],
    *,
    longest: int = 16,
    **choice: Any,
) -> list[list[int]]:
    """What belongs between the `pieces` of a text, each a list of token ids; one list of token ids per blank.

    Args:
        network: trained by span corruption.
        pieces: the text around the blanks, in order; one more than blanks.
        longest: most tokens in a blank; fewer where there are so many blanks that the decoder could not write them all.
        choice: how to choose a token, as `sampled` takes it.

    Raises:
        ValueError: there are more blanks or tokens than the network has places for.
    """
    blanks, holes, tokens = len(pieces) - 1, len(network.hole_tokens), sum(map(len, pieces))
    places = network.context + holes
    if blanks >= holes or tokens + blanks > places:
        raise ValueError(
            f"found {blanks} blanks and {tokens} tokens of text; the model takes at most {holes - 1} blanks, and "
            f"{places} of both (train_lm.context + {holes})"
        )
    if blanks:
        longest = min(longest, places // blanks - 1)
    device = network.embedding.weight.device
    corrupted = list(pieces[0])
    for number, piece in enumerate(pieces[1:]):
        corrupted += [network.hole_tokens[number], *piece]
    past = network.encode(torch.tensor([corrupted], device=device))
    filled: list[list[int]] = []
    for number in range(blanks):
        logits, past = network.decode(torch.tensor([[network.hole_tokens[number]]], device=device), past)
        span: list[int] = []
        while len(span) < longest:
            allowed = _without_other_holes(logits[:, -1], network, number + 1)
            token = sampled(allowed, **choice)
            if token.item() == network.hole_tokens[number + 1]:
                break
            span.append(int(token))
            logits, past = network.decode(token, past)
        filled.append(span)
    return filled


def _without_other_holes(logits: Tensor, network: EncoderDecoder, number: int) -> Tensor:
    """Logits in which the only hole is the one that would end the span."""
    allowed = torch.full_like(logits, -torch.inf)
    allowed[:, : network.vocabulary_size] = logits[:, : network.vocabulary_size]
    allowed[:, network.hole_tokens[number]] = logits[:, network.hole_tokens[number]]
    return allowed


@torch.inference_mode()
def next_words(
    network: LanguageModel,
    prompt: Tensor,
    decode: Callable[[list[int]], str],
    vocabulary_size: int,
    count: int,
    *,
    examined: int = 400,
) -> list[tuple[str, float]]:
    """The likeliest words after a prompt with their probabilities, best first.

    A word may take several tokens, and a character too: a best-first search extends the likeliest beginning until the
    token that would follow begins something else than a letter. A word begins with a space, or at once where the prompt
    ends in white space. The probabilities are those of the spellings found: missed are those that lie beyond `examined`
    beginnings, or beyond the 50 likeliest tokens after one.

    Args:
        network: language model.
        prompt: `(1, steps)` token ids, shorter than the context.
        decode: what tokens read; a part of a character reads U+FFFD.
        vocabulary_size: how many tokens there are.
        count: how many words.
        examined: beginnings that are looked at.
    """
    device = prompt.device
    texts = [decode([token]) for token in range(vocabulary_size)]
    goes_on = torch.tensor([_lettered(text[:1]) for text in texts], device=device)
    opens = torch.tensor([text[:1] == " " and all(map(_lettered, text[1:])) and len(text) > 1 for text in texts])
    opens = opens.to(device)
    space = torch.tensor([text == " " for text in texts], device=device)
    begins = opens | space | goes_on if texts[prompt[0, -1]][-1:].isspace() else opens | space
    found: dict[str, float] = {}
    beginnings: list[tuple[float, list[int]]] = [(1.0, [])]
    for _ in range(examined):
        if not beginnings:
            break
        likeliest = max(range(len(beginnings)), key=lambda number: beginnings[number][0])
        probability, written = beginnings.pop(likeliest)
        word = decode(written).strip()
        if len(found) >= count and probability <= sorted(found.values(), reverse=True)[count - 1]:
            break
        tokens = torch.cat([prompt, torch.tensor([written], dtype=torch.long, device=device)], dim=1)
        following = network.begin(tokens[:, -network.context :])[0][0, -1].softmax(dim=-1)  # (vocabulary,)
        if word and "\ufffd" not in word:
            ends = float(following[~goes_on].sum())
            found[word] = found.get(word, 0.0) + probability * ends
        allowed = goes_on if written else begins
        likely = (following * allowed).topk(min(50, len(texts)))
        beginnings += [
            (probability * share, [*written, token])
            for share, token in zip(likely.values.tolist(), likely.indices.tolist(), strict=True)
            if share > 0
        ]
    return sorted(found.items(), key=lambda item: -item[1])[:count]


def _lettered(character: str) -> bool:
    """Whether it is a letter, a digit or a part of a character, which mostly is one of a letter."""
    return character.isalnum() or character == "\ufffd"
