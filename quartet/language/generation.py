"""Generate text with temperature, top-k and nucleus (top-p) sampling; predict next words; fill in blanks."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from quartet.artifacts.errors import BadInput, BadRequest
from quartet.artifacts.time_limits import check_time
from quartet.language.incremental_decoding import IncrementalDecoder
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.networks.interface import LanguageModel


def sample_token(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> Tensor:
    """Sample a token from each row of logits `(batch, vocabulary)`; returns `(batch, 1)`.

    Args:
        logits: of the next token.
        temperature: divides the logits; 0 takes the most probable token.
        top_k: sample only among the `top_k` most probable tokens.
        top_p: sample only among the most probable tokens that together reach this probability (nucleus sampling,
            Holtzman et al. 2020).
        generator: source of randomness, or one of each row.

    Raises:
        BadRequest: an argument is out of its range.
    """
    if not temperature >= 0:  # nor not a number
        raise BadRequest(f"temperature: found {temperature}, allowed is 0 or more")
    if top_k is not None and top_k < 1:
        raise BadRequest(f"top_k: found {top_k}, allowed is 1 or more")
    if top_p is not None and not 0 <= top_p <= 1:
        raise BadRequest(f"top_p: found {top_p}, allowed is 0 to 1")
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    if top_k is None and top_p in (None, 1):  # no need to sort
        return _sample_index((logits / temperature).softmax(dim=-1), generator)
    ordered, tokens = (logits / temperature).sort(dim=-1, descending=True)  # (batch, vocabulary)
    if top_k is not None:
        ordered, tokens = ordered[:, :top_k], tokens[:, :top_k]
    probabilities = ordered.softmax(dim=-1)
    if top_p is not None:
        before = probabilities.cumsum(dim=-1) - probabilities  # the sum over all more probable tokens
        probabilities = probabilities * ((before < top_p) | (before == 0))  # always keep the most probable
    return tokens.gather(-1, _sample_index(probabilities, generator))


def _sample_index(weights: Tensor, generator: torch.Generator | Sequence[torch.Generator] | None) -> Tensor:
    """Sample an index of each row of `(batch, choices)` in proportion to the weights: `(batch, 1)`.

    Inverting the cumulative distribution takes a fifth of the time of `torch.multinomial`.
    """
    reached = weights.cumsum(dim=-1)
    if isinstance(generator, Sequence):
        chance = torch.cat([torch.rand(1, 1, generator=own, device=weights.device) for own in generator])
    else:
        chance = torch.rand(len(weights), 1, generator=generator, device=weights.device)
    found = torch.searchsorted(reached, chance * reached[:, -1:], right=True)
    return found.clamp(max=weights.shape[-1] - 1)


def penalised(logits: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Make the `tokens` `(batch, steps)` that a text already has less likely to come again (Keskar et al. 2019).

    Their `logits` `(batch, vocabulary)` are divided by `penalty` if they are positive, else multiplied by it.

    Raises:
        BadRequest: `penalty` is not above 0.
    """
    if not penalty > 0:  # nor not a number
        raise BadRequest(f"repetition_penalty: found {penalty}, allowed is above 0")
    known = logits.gather(1, tokens)
    return logits.scatter(1, tokens, torch.where(known > 0, known / penalty, known * penalty))


def generate(network: LanguageModel, prompt: Tensor, count: int, *, cached: bool = True, **choice: Any) -> Tensor:
    """Continue `(batch, steps)` token ids by `count` tokens; returns `(batch, steps + count)`.

    The other arguments are those of `generated_tokens`.
    """
    return torch.cat([prompt, *generated_tokens(network, prompt, count, cached=cached, **choice)], dim=1)


@torch.inference_mode()
def generated_tokens(
    network: LanguageModel,
    prompt: Tensor,
    count: int,
    *,
    cached: bool = True,
    repetition_penalty: float = 1.0,
    **choice: Any,
) -> Iterator[Tensor]:
    """The `count` tokens that continue `(batch, steps)` token ids, one after another: `(batch, 1)` each.

    `choice` are the arguments of `sample_token`; `repetition_penalty` is that of `penalised`, 1 for none.

    With `cached`, the network keeps its state (keys and values, or hidden states), so that each token needs one step.
    Without, it reads everything again for each token; the text is the same. When the network's context is full,
    generation continues from its second half.
    """
    tokens = prompt
    window = tokens[:, -network.context :]
    read, advance = start_decoding(network, window)
    start, prompted = tokens.shape[1] - window.shape[1], tokens.shape[1]
    for number in range(count):
        check_time()
        if number:
            if tokens.shape[1] - start > network.context:
                start, prompted = tokens.shape[1] - network.context // 2, tokens.shape[1]
                read, advance = start_decoding(network, tokens[:, start:])
            elif cached:
                read = advance(tokens[:, -1:])
            else:
                _, past = network.begin(tokens[:, start:prompted])
                read = network.advance(tokens[:, prompted:], past)[0][:, -1]
        if repetition_penalty != 1:
            read = penalised(read, tokens, repetition_penalty)
        following = sample_token(read, **choice)
        yield following
        tokens = torch.cat([tokens, following], dim=1)


def start_decoding(network: LanguageModel, prompt: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Read a prompt `(batch, steps)`, with a cache.

    Returns:
        `(batch, vocabulary)` logits of the next token, and a function that takes the chosen token, `(batch, 1)`, and
        returns the logits of the one after it.
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
    """Fill the blanks between the `pieces` of a text; returns one list of token ids per blank.

    Args:
        network: trained with span corruption.
        pieces: the token ids of the text around the blanks, in order; one piece more than blanks.
        longest: the most tokens in a blank; less if the decoder's context would not hold that many for each blank.
        choice: the arguments of `sample_token`.

    Raises:
        BadInput: there are more blanks or tokens than fit the network.
    """
    blanks, sentinels, tokens = len(pieces) - 1, len(network.sentinel_tokens), sum(map(len, pieces))
    places = network.context + sentinels
    if blanks >= sentinels or tokens + blanks > places:
        raise BadInput(
            f"found {blanks} blanks and {tokens} tokens of text; the model takes at most {sentinels - 1} blanks, and "
            f"{places} of both together (train_lm.context + {sentinels})"
        )
    if blanks:
        longest = min(longest, places // blanks - 1)
    device = network.embedding.weight.device
    corrupted = list(pieces[0])
    for number, piece in enumerate(pieces[1:]):
        corrupted += [network.sentinel_tokens[number], *piece]
    past = network.encode(torch.tensor([corrupted], device=device))
    filled: list[list[int]] = []
    for number in range(blanks):
        logits, past = network.decode(torch.tensor([[network.sentinel_tokens[number]]], device=device), past)
        span: list[int] = []
        while len(span) < longest:
            check_time()
            allowed = _without_other_sentinels(logits[:, -1], network, number + 1)
            token = sample_token(allowed, **choice)
            if token.item() == network.sentinel_tokens[number + 1]:
                break
            span.append(int(token))
            logits, past = network.decode(token, past)
        filled.append(span)
    return filled


def _without_other_sentinels(logits: Tensor, network: EncoderDecoder, number: int) -> Tensor:
    """Mask the logits of all sentinel tokens except the next one, which ends the span."""
    allowed = torch.full_like(logits, -torch.inf)
    allowed[:, : network.vocabulary_size] = logits[:, : network.vocabulary_size]
    allowed[:, network.sentinel_tokens[number]] = logits[:, network.sentinel_tokens[number]]
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
    """The most probable words after a prompt with their probabilities, in descending order.

    A word, and even a character, may consist of several tokens. A best-first search extends the most probable prefix;
    a word ends where the next token does not start with a letter. A word starts with a space, unless the prompt ends in
    white space. Probabilities are lower bounds: the search examines at most `examined` prefixes and continues each with
    its 50 most probable tokens.

    Args:
        network: language model.
        prompt: `(1, steps)` token ids, shorter than the context.
        decode: from token ids to text; an incomplete character gives U+FFFD.
        vocabulary_size: number of tokens.
        count: number of words to return.
        examined: number of prefixes to examine.
    """
    device = prompt.device
    texts = [decode([token]) for token in range(vocabulary_size)]
    continues = torch.tensor([_in_word(text[:1]) for text in texts], device=device)
    starts = torch.tensor([text[:1] == " " and all(map(_in_word, text[1:])) and len(text) > 1 for text in texts])
    starts = starts.to(device)
    space = torch.tensor([text == " " for text in texts], device=device)
    first = starts | space | continues if texts[prompt[0, -1]][-1:].isspace() else starts | space
    found: dict[str, float] = {}
    prefixes: list[tuple[float, list[int]]] = [(1.0, [])]
    for _ in range(examined):
        if not prefixes:
            break
        likeliest = max(range(len(prefixes)), key=lambda number: prefixes[number][0])
        probability, written = prefixes.pop(likeliest)
        word = decode(written).strip()
        if len(found) >= count and probability <= sorted(found.values(), reverse=True)[count - 1]:
            break
        tokens = torch.cat([prompt, torch.tensor([written], dtype=torch.long, device=device)], dim=1)
        following = network.begin(tokens[:, -network.context :])[0][0, -1].softmax(dim=-1)  # (vocabulary,)
        if word and "\ufffd" not in word:
            ends = float(following[~continues].sum())
            found[word] = found.get(word, 0.0) + probability * ends
        allowed = continues if written else first
        likely = (following * allowed).topk(min(50, len(texts)))
        prefixes += [
            (probability * share, [*written, token])
            for share, token in zip(likely.values.tolist(), likely.indices.tolist(), strict=True)
            if share > 0
        ]
    return sorted(found.items(), key=lambda item: -item[1])[:count]


def _in_word(character: str) -> bool:
    """Whether this is a letter, a digit, or an incomplete character, which usually is part of a letter."""
    return character.isalnum() or character == "\ufffd"
