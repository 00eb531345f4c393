"""Going on from a trained language model: it keeps its tokenizer, and what it forgets of its first text is measured."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from quartet.artifacts import paths
from quartet.artifacts.checksums import sha256
from quartet.artifacts.errors import BadInput
from quartet.artifacts.model_store import load_weights
from quartet.artifacts.rebuilding import rebuild_network
from quartet.datasets.tokenizers import encoded_lines, load_tokenizer
from quartet.language import TRANSLATION
from quartet.language.networks import NETWORKS
from quartet.language.networks.interface import LanguageModel
from quartet.language.scoring import validation_sample, validation_scores
from quartet.language.settings import TrainLm
from quartet.language.windows import token_stream
from quartet.training.start_weights import AGAIN, REGISTRY, TOKENIZER, read_start


class Continuation:
    """The model in `data/raw/weights/lm` that a training on a processed text goes on from.

    Args:
        settings: of the training; they name a model to start from.
        folder: of the processed text or pairs.
        info: its `info.json`.
        device: where to score.

    Raises:
        BadInput: the text was encoded with another tokenizer than the model has; or there is no text to remember.
    """

    def __init__(self, settings: TrainLm, folder: Path, info: Mapping, device: torch.device):
        self.brought = paths.raw("weights") / "lm"
        manifest = read_start(settings.starts_from, self.brought)
        assert manifest is not None
        self.manifest, self.folder, self.info, self.device = manifest, folder, info, device
        self.translates = info.get("task") == TRANSLATION
        if self.translates and settings.remember:
            raise BadInput(
                "train_lm.remember: scores a running text, and a translator of pairs reads none; set it to null"
            )
        if manifest.get("brings", {}) != settings.brings:
            raise BadInput(f"{self.brought} does not hold train_lm.remember: {AGAIN}")
        self._refuse_other_tokenizer()
        self.tokenizer = load_tokenizer(folder / TOKENIZER)
        self.first_text = read_lines(self.brought / "remember.txt", settings.remember) if settings.remember else []

    def _refuse_other_tokenizer(self) -> None:
        start, own = self.manifest["from"], self.brought / TOKENIZER
        if not own.exists():
            if self.manifest.get("data_sha256") == self.info["sha256"]:
                return  # the data that it was trained on
            raise BadInput(
                f"train_lm.start_from: {start} holds no {TOKENIZER}; it is from an earlier version: copy the one of "
                f"the data that it was trained on beside its card.json, and {AGAIN}"
            )
        if sha256(own) != sha256(self.folder / TOKENIZER):
            wanted = start if start.startswith(REGISTRY) else f"folder:{start}"
            raise BadInput(
                f"train_lm.start_from: {start} has another tokenizer than {self.folder}, so that its weights mean "
                f"other tokens: set preprocess.text.tokenizer to {wanted}; if it is so already, run "
                "`dvc repro --force preprocess@text`"
            )

    def scores(self, network: LanguageModel) -> dict[str, float]:
        """Bits per byte of the model that training started from, and those of the first text before and after.

        `network` is the trained one. Neither was trained on these texts. Pairs have no such scores.
        """
        if self.translates:
            return {}
        start = self._start_network()
        size = self.info["counts"]["validation"]["bytes"]
        held_out, size = validation_sample(
            token_stream(self.folder, "validation"), size, self.tokenizer, network.context
        )
        before, after = (self._bits_per_byte(each, held_out, size) for each in (start, network))
        worse = "; it was better before: lower train_lm.learning_rate" if after > before else ""
        print(f"validation: {before:.4f} bits per byte before, {after:.4f} after{worse}", flush=True)
        found = {"start_validation_bits_per_byte": before}
        if self.first_text:
            first = np.concatenate([*encoded_lines(self.tokenizer, self.first_text, np.uint32)])
            size = sum(len(line.encode()) for line in self.first_text)
            before, after = (self._bits_per_byte(each, first, size) for each in (start, network))
            print(f"train_lm.remember: {before:.4f} bits per byte before, {after:.4f} after", flush=True)
            found |= {"start_first_text_bits_per_byte": before, "first_text_bits_per_byte": after}
        return found

    def _start_network(self) -> LanguageModel:
        card = {"family": "lm", "network": self.manifest["network"]}
        return rebuild_network(NETWORKS, card, load_weights(self.brought)).to(self.device)

    def _bits_per_byte(self, network: LanguageModel, stream: np.ndarray, size: int) -> float:
        return validation_scores(network, stream, self.tokenizer, size, self.device)["bits_per_byte"]


def read_lines(path: Path, given: str) -> list[str]:
    """The lines of a text file, with their ends; `given` is how the settings name it.

    Raises:
        BadInput: it is blank, or not UTF-8.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"train_lm.remember: {given}: byte {error.start} is not UTF-8; convert the file") from error
    if not text.strip():
        raise BadInput(f"train_lm.remember: {given}: has no text")
    return list(io.StringIO(text, newline="\n"))
