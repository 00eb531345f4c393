"""Translate texts with a trained encoder-decoder and its tokenizer."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer

from quartet.artifacts.errors import BadInput
from quartet.language import begun, one_line
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.translation.decoding import Search, translate


class Translator:
    """A network that was trained to translate, and its tokenizer."""

    def __init__(self, network: EncoderDecoder, tokenizer: Tokenizer):
        self.network, self.tokenizer = network, tokenizer

    def translate(self, texts: Sequence[str], search: Search) -> list[list[tuple[str, float]]]:
        """The best translations of each text with their scores, the best one first.

        Raises:
            BadInput: a text is blank or no UTF-8, or is too long; or `search` is out of range.
        """
        found = translate(self.network, [self._encoded(text) for text in texts], search)
        return [[(self.decoded(each.tokens), each.score) for each in hypotheses] for hypotheses in found]

    def decoded(self, tokens: Sequence[int]) -> str:
        """The text of token ids, without white space around it."""
        return self.tokenizer.decode(list(tokens)).strip()

    def _encoded(self, text: str) -> torch.Tensor:
        line = one_line(text)
        try:
            line.encode()
        except UnicodeEncodeError as error:
            raise BadInput("the text is not UTF-8") from error
        if not line:
            raise BadInput("there is no text to translate")
        tokens = self.tokenizer.encode(begun(line)).ids
        if len(tokens) > self.network.context:
            raise BadInput(
                f"the text has {len(tokens)} tokens; the model reads at most {self.network.context} "
                "(train_lm.context): translate it sentence by sentence"
            )
        return torch.tensor(tokens)
