"""Continue several texts at once, each as it would be continued by itself."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from quartet.artifacts.time_limits import check_time
from quartet.language.batch_decoding import BatchDecoder
from quartet.language.generation import penalised, sample_token
from quartet.language.networks.decoder import Decoder


@torch.inference_mode()
def generate_together(
    network: Decoder,
    prompts: Sequence[Sequence[int]],
    count: int,
    *,
    generators: Sequence[torch.Generator],
    is_over: Callable[[int, int], bool],
    repetition_penalty: float = 1.0,
    **choice: Any,
) -> None:
    """Continue each prompt by at most `count` tokens, one of each text after another, with a key-value cache.

    Args:
        network: on a CPU.
        prompts: the token ids of each text, of any lengths above 0.
        count: the most tokens of each text.
        generators: the source of randomness of each text.
        is_over: called with the number of a prompt and its next token; returns whether the text ends with it.
        repetition_penalty: that of `generation.penalised`, 1 for none.
        choice: the other arguments of `generation.sample_token`.
    """
    for first in range(0, len(prompts), most := BatchDecoder.most_rows(network)):
        together = range(first, min(first + most, len(prompts)))
        texts = {number: _Text(list(prompts[number]), network.context) for number in together}
        decoder, going = BatchDecoder(network, len(texts)), list(texts)
        logits = torch.cat([_begun(decoder, row, text) for row, text in enumerate(texts.values())])
        for step in range(count):
            check_time()
            if step:
                for row, number in enumerate(going):
                    if texts[number].is_full():
                        decoder.read(row, texts[number].second_half())
                logits = decoder.advance([texts[number].tokens[-1] for number in going])
            if repetition_penalty != 1:
                known = [torch.tensor([texts[number].tokens]) for number in going]
                rows = [penalised(row[None], own, repetition_penalty) for row, own in zip(logits, known, strict=True)]
                logits = torch.cat(rows)
            chosen = sample_token(logits, generator=[generators[number] for number in going], **choice)[:, 0].tolist()
            for number, token in zip(going, chosen, strict=True):
                texts[number].tokens.append(token)
            stays = [row for row, number in enumerate(going) if not is_over(number, chosen[row])]
            if len(stays) < len(going):
                decoder.keep(stays)
                going = [going[row] for row in stays]
            if not going:
                break


class _Text:
    """A text's tokens, and where its window in the network's context begins."""

    def __init__(self, tokens: list[int], context: int):
        self.tokens, self.context = tokens, context
        self.start = max(0, len(tokens) - context)

    def is_full(self) -> bool:
        """Whether the last token is beyond the context."""
        return len(self.tokens) - self.start > self.context

    def second_half(self) -> list[int]:
        """Begin the window at the second half of the context; returns its tokens but the last."""
        self.start = len(self.tokens) - self.context // 2
        return self.tokens[self.start : -1]


def _begun(decoder: BatchDecoder, row: int, text: _Text) -> torch.Tensor:
    logits = decoder.read(row, text.tokens[text.start :])
    if logits is None:
        raise ValueError("a prompt has no token")
    return logits
