"""A look at a user's texts before they are downloaded and prepared."""

from pathlib import Path

from quartet.artifacts.errors import BadInput
from quartet.artifacts.paths import user_path
from quartet.datasets.inspection import Inspection, spread
from quartet.datasets.splits import SPLITS
from quartet.language.preparation import refuse_small_splits
from quartet.language.preparation.pairs import split_pairs
from quartet.language.preparation.splitting import split_documents
from quartet.language.settings import PreprocessText
from quartet.language.sources.documents import KINDS, index_documents, list_text_files
from quartet.language.sources.pairs import read_pairs


def inspect_texts(source: str, settings: PreprocessText) -> Inspection:
    """What the pipeline would read from a user's `source`, a value of `download.text`; writes nothing.

    Raises:
        BadInput: the source is not a user's own, cannot be read, or cannot be split as the settings say.
    """
    kind, _, name = source.partition(":")
    if kind == "pairs":
        return _inspect_pairs(source, user_path(name), settings)
    if kind not in KINDS:
        allowed = ", ".join(f"{kind}:PATH" for kind in (*KINDS, "pairs"))
        raise BadInput(f"{source}: is no text of your own; that is one of {allowed}")
    path = user_path(name)
    found = list_text_files(path) if kind == "folder" else None
    index = index_documents(kind, path)
    try:
        splits = split_documents(kind, path, index, settings)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from error
    characters = {split: sum(map(len, splits.text(split))) for split in SPLITS}
    refuse_small_splits(source, characters)
    documents = {split: count for split, (count,) in splits.report["classes"].items()}
    return Inspection(
        {"documents": f"{(~index.blank).sum():,}", "characters": f"{index.characters:,}"},
        {"documents": documents, "characters": characters},
        splits.report,
        {**(found.left_out if found else {}), **index.left_out()},
        found.notes if found else [],
    )


def _inspect_pairs(source: str, path: Path, settings: PreprocessText) -> Inspection:
    pairs = read_pairs(path)
    try:
        split = split_pairs(pairs, settings)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from error
    words = {
        f"words of {language}": spread([len(text.split()) for sides in split.texts.values() for text in sides[side]])
        for side, language in enumerate(split.languages)
    }
    counts = {name: len(sources) for name, (sources, _) in split.texts.items()}
    facts = {"pairs": f"{len(pairs):,}", "from": split.languages[0], "to": split.languages[1], **words}
    note = "pairs need train_lm.architecture: encoder-decoder, which the preset translation-20min sets too"
    ignored = {"not a parallel file": pairs.ignored} if pairs.ignored else {}
    return Inspection(facts, {"pairs": counts}, split.report, {**ignored, **split.left_out}, [note])
