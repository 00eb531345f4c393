"""Serve the language model: continue a prompt, predict the next words, fill blanks, or translate."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quartet.artifacts.errors import BadInput, BadRequest
from quartet.artifacts.model_store import load_weights, read_card
from quartet.artifacts.rebuilding import rebuild_network
from quartet.datasets.questions import Questions, text_questions
from quartet.datasets.tokenizers import load_tokenizer
from quartet.language import BLANK, TRANSLATION, generation
from quartet.language.batch_decoding import BatchDecoder
from quartet.language.batch_generation import generate_together
from quartet.language.networks import NETWORKS
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.stop_strings import Written, pieces_before
from quartet.language.translation.decoding import Search
from quartet.language.translation.translator import Translator
from quartet.tracking.served import Column, Interface, Parameter, Served, check_seed, file_of

PROMPT = Column("prompt", "string")
PARAMETERS = (
    Parameter("tokens", 64, at_most=4096),
    Parameter("temperature", 0.8),
    Parameter("top_k", 0),
    Parameter("top_p", 1.0),
    Parameter("repetition_penalty", 1.0),
    Parameter("stop", ""),
    Parameter("seed", 0),
)
SOURCE = Column("source", "string")
SEARCH = (Parameter("beam", Search.beam, at_most=64), Parameter("length_penalty", Search.length_penalty))


class TextGenerator(Served):
    """The language model in `folder`; `files` holds its `tokenizer`.

    Attributes:
        translator: translates, if the model was trained on pairs; it then does nothing else.
    """

    def __init__(self, folder: Path, files: Mapping[str, Path]):
        self.card = read_card(folder)
        self.network = rebuild_network(NETWORKS, self.card, load_weights(folder))
        self.tokenizer = load_tokenizer(file_of(files, "tokenizer"))
        self.translator: Translator | None = None
        if isinstance(self.network, EncoderDecoder) and _translates(self.card):
            self.translator = Translator(self.network, self.tokenizer)

    @staticmethod
    def interface(card: Mapping) -> Interface:
        """From prompts to texts, or from sources to their translations."""
        if _translates(card):
            return Interface(SOURCE, "text", SEARCH)
        return Interface(PROMPT, "text", PARAMETERS)

    @staticmethod
    def example(card: Mapping) -> dict[str, object]:
        """The beginning of a sentence, or a sentence."""
        if _translates(card):
            return SOURCE.example(["A man sleeps."])
        return PROMPT.example(["The "])

    def predict(self, inputs: Sequence[str], parameters: Mapping[str, Any]) -> list[str]:
        """Continue each prompt, or fill its blanks if it has any; or translate each source."""
        if self.translator is not None:
            search = Search(parameters["beam"], parameters["length_penalty"])
            return [found[0][0] for found in self.translator.translate(inputs, search)]
        choice = {name: parameters[name] for name in ("temperature", "top_p", "seed")}
        choice["top_k"] = parameters["top_k"] or None
        going_on = {"repetition_penalty": parameters["repetition_penalty"]}
        going_on["stop"] = [parameters["stop"]] if parameters["stop"] else []
        return self.written(inputs, parameters["tokens"], **choice, **going_on)

    def questions(self, path: Path, preparation: Any) -> Questions:
        """Prompts, one on each line of a text file, or in the column `prompt` or `text` of a table.

        For a translator, sources, in the column `source` or `text`; a column `target` has their right translations.

        Raises:
            BadInput: the file cannot be read.
        """
        if self.translator is not None:
            return text_questions(path, ("source", "text"), "target")
        return text_questions(path, ("prompt", "text"), verbatim=True)

    def continued(self, prompt: str, tokens: int, **choice: Any) -> str:
        """Continue a prompt; returns the whole text. The other arguments are those of `pieces`.

        Raises:
            ValueError: an argument is out of its range.
        """
        return "".join(self.pieces(prompt, tokens, **choice))

    def written(
        self, prompts: Sequence[str], tokens: int, *, repetition_penalty: float, stop: Sequence[str], **choice: Any
    ) -> list[str]:
        """Continue each prompt, or fill its blanks if it has any; the arguments are those of `pieces`.

        Raises:
            ValueError: as `pieces` and `filled`.
        """
        going_on: dict[str, Any] = {"repetition_penalty": repetition_penalty, "stop": stop}
        if (stop or repetition_penalty != 1) and any(BLANK in prompt for prompt in prompts):
            raise BadInput(f"stop and repetition_penalty are for prompts that go on, not for blanks {BLANK}")
        plain = [prompt for prompt in prompts if BLANK not in prompt]
        continued = iter(self.continued_together(plain, tokens, **choice, **going_on))
        return [self.filled(prompt, **choice) if BLANK in prompt else next(continued) for prompt in prompts]

    def continued_together(
        self, prompts: Sequence[str], tokens: int, *, seed: int, stop: Sequence[str] = (), **choice: Any
    ) -> list[str]:
        """Continue several prompts at once, each as `continued` does; returns the whole texts.

        Networks other than the decoder write one text after another.

        Raises:
            ValueError: an argument is out of its range.
        """
        if len(prompts) < 2 or not BatchDecoder.suits(self.network):
            return [self.continued(prompt, tokens, seed=seed, stop=stop, **choice) for prompt in prompts]
        _check(tokens, seed)
        encoded = [self._tokens(prompt or "\n") for prompt in prompts]
        written = [Written(stop, self.tokenizer.decode) for _ in prompts]
        said = [self.tokenizer.decode(prompt) for prompt in encoded]

        def is_over(number: int, token: int) -> bool:
            written[number].tokens.append(token)
            if stop:
                said[number] += written[number].piece()
            return written[number].is_over

        generators = [torch.Generator().manual_seed(seed) for _ in prompts]
        generate_together(self.network, encoded, tokens, generators=generators, is_over=is_over, **choice)
        return [text + own.rest() for text, own in zip(said, written, strict=True)]

    def pieces(self, prompt: str, tokens: int, *, seed: int, stop: Sequence[str] = (), **choice: Any) -> Iterator[str]:
        """Continue a prompt; yields the prompt and then the text as it is written, in pieces of whole characters.

        Args:
            prompt: to continue.
            tokens: how many to write at most.
            seed: of the sampling.
            stop: strings; the text ends before the first of them that is written.
            choice: `temperature`, `top_k`, `top_p`, as for `generation.sample_token`, and `repetition_penalty`.

        Raises:
            ValueError: an argument is out of its range.
        """
        _check(tokens, seed)
        generator = torch.Generator().manual_seed(seed)
        encoded = self._encoded(prompt)
        yield self.tokenizer.decode(encoded[0].tolist())
        tokens_of_text = generation.generated_tokens(self.network, encoded, tokens, generator=generator, **choice)
        yield from pieces_before(stop, map(int, tokens_of_text), self.tokenizer.decode)

    def filled(self, text: str, *, seed: int, **choice: Any) -> str:
        """Fill every blank `___` of a text.

        Raises:
            ValueError: the model is not an encoder-decoder, or an argument is out of its range.
        """
        check_seed(seed)
        if not isinstance(self.network, EncoderDecoder):
            raise BadInput("filling blanks takes a model trained with train_lm.architecture=encoder-decoder")
        pieces = text.split(BLANK)
        generator = torch.Generator().manual_seed(seed)
        encoded = [self._tokens(piece) for piece in pieces]
        spans = generation.fill_blanks(self.network, encoded, generator=generator, **choice)
        words = [self.tokenizer.decode(span) for span in spans]
        return "".join(piece + word for piece, word in zip(pieces, [*words, ""], strict=True))

    def next_words(self, prompt: str, count: int) -> list[tuple[str, float]]:
        """The most probable next words with their probabilities."""
        # A word's token includes the space before it.
        tokens, tokenizer = self._encoded(prompt.removesuffix(" ")), self.tokenizer
        return generation.next_words(self.network, tokens, tokenizer.decode, tokenizer.get_vocab_size(), count)

    def _encoded(self, prompt: str) -> Tensor:
        return torch.tensor([self._tokens(prompt or "\n")])  # (1, tokens)

    def _tokens(self, text: str) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadInput("the prompt is not UTF-8") from error
        return self.tokenizer.encode(text).ids


def _check(tokens: int, seed: int) -> None:
    if tokens < 1:
        raise BadRequest(f"tokens: found {tokens}, allowed is 1 or more")
    check_seed(seed)


def _translates(card: Mapping) -> bool:
    return card["data"].get("task") == TRANSLATION
