"""Which captions training pictures have, and which one a step reads: drawn anew each time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from quartet.text_to_image.captions.open_captions import OpenCaptions, is_open, learn_captions, read_captions
from quartet.text_to_image.captions.templates import TEMPLATES, Captioner, captioner
from quartet.text_to_image.networks.text_to_image import TextToImage

COUNTED_AT_ONCE = 4096  # captions whose words are counted


class Prompts(Protocol):
    """The captions of the pictures of a split.

    Attributes:
        table: the ids of all of them.
    """

    table: Tensor

    def drawn(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """One caption of each of the `chosen` pictures, `(batch,)` indices: `(batch, words)` ids."""


class ClassPrompts:
    """Captions made from class names: a template each time.

    Args:
        table: ids of every class in every template, `(classes, templates, words)`.
        labels: of the pictures, `(pictures,)`.
    """

    def __init__(self, table: Tensor, labels: Tensor):
        self.table, self.labels = table, labels

    def drawn(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """As in `Prompts`."""
        template = torch.randint(self.table.shape[1], (len(chosen),), generator=generator, device=self.table.device)
        return self.table[self.labels[chosen], template]


class PicturePrompts:
    """Captions of each picture's own.

    Args:
        table: ids of all captions, picture after picture, `(captions, words)`.
        counts: how many each picture has, at least one, `(pictures,)`.
    """

    def __init__(self, table: Tensor, counts: Tensor):
        self.table, self.counts, self.first = table, counts, counts.cumsum(0) - counts

    def drawn(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """As in `Prompts`."""
        share = torch.rand(len(chosen), generator=generator, device=self.table.device)
        counts = self.counts[chosen]
        # Rounding may make the product as large as the count.
        return self.table[self.first[chosen] + (share * counts).long().minimum(counts - 1)]


Reader = Captioner | OpenCaptions


def reader_of(network: TextToImage, data: Mapping) -> Reader:
    """What reads the captions that a trained network takes; `data` is what its card says of its pictures."""
    return OpenCaptions(network.merges, network.words) if is_open(data) else captioner(data)


def reads_the_same(reader: Reader, merges: Sequence[str] | None, data: Mapping) -> bool:
    """Whether another model gives every caption the ids that `reader` gives it.

    `merges` is what makes that model's tokens, None if class names make its captions; `data` is what its card says of
    its pictures. Of class names only the words matter, not which class has them: the vocabulary is sorted.
    """
    if isinstance(reader, OpenCaptions):
        return merges is not None and tuple(merges) == reader.merges
    return merges is None and "classes" in data and captioner(data).words == reader.words


def prompts_of_splits(
    folder: Path, info: Mapping, labels: Mapping[str, Tensor], longest: int, merges: Sequence[str] | None = None
) -> tuple[Reader, dict[str, Prompts]]:
    """What reads captions, and the prompts of each split.

    Args:
        folder: of the prepared pictures.
        info: their `info.json`.
        labels: by split, `train` and others, on the device where training is to be.
        longest: most tokens of a caption of a picture's own; longer ones are cut, which is said.
        merges: of the tokens of a model that reads such captions; None learns tokens from the training captions.
    """
    device = labels["train"].device
    if not is_open(info):
        words = captioner(info)
        table = words.table(TEMPLATES).to(device)
        return words, {split: ClassPrompts(table, each) for split, each in labels.items()}
    captions = {split: read_captions(folder, split, info, each.tolist()) for split, each in labels.items()}
    if merges is None:
        tokens = learn_captions([caption for each in captions["train"] for caption in each], longest)
    else:
        tokens = OpenCaptions(tuple(merges), 1 + longest)
    return tokens, {split: _picture_prompts(tokens, each, device, split) for split, each in captions.items()}


def _picture_prompts(
    tokens: OpenCaptions, captions: Sequence[Sequence[str]], device: torch.device, split: str
) -> PicturePrompts:
    table = encode_and_say(tokens, [caption for each in captions for caption in each], split)
    return PicturePrompts(table.to(device), torch.tensor([len(each) for each in captions], device=device))


def encode_and_say(tokens: OpenCaptions, captions: Sequence[str], split: str) -> Tensor:
    """The tokens of a split's captions, `(captions, tokens)`; says how many captions are cut."""
    table, cut = tokens.encode_cut(captions)
    if cut:
        print(
            f"{split}: {cut:,} of {len(table):,} captions are longer than {tokens.longest - 1} tokens and are cut; "
            "set train_diffusion.longest_caption to more",
            flush=True,
        )
    return table


def distinguishing(reader: Reader, prompts: Prompts) -> list[int]:
    """Ids of the words that tell captions apart, for the matcher.

    Of class names, these are the words that not every class has; of tokens, those that are in less than half of the
    captions. Captions that are all the same have none.
    """
    if isinstance(reader, Captioner):
        return reader.distinguishing_words
    assert isinstance(prompts, PicturePrompts)
    counts = torch.zeros(reader.vocabulary_size, dtype=torch.long)
    for some in prompts.table.cpu().split(COUNTED_AT_ONCE):
        present = torch.zeros(len(some), len(counts), dtype=torch.bool)
        present[torch.arange(len(some))[:, None], some] = True
        counts += present.sum(dim=0)
    counts = counts[2:]  # but for padding and the start token
    return [number + 2 for number in ((counts > 0) & (2 * counts < len(prompts.table))).nonzero()[:, 0].tolist()]
