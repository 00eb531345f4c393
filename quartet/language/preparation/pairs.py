"""Turn pairs of sources and targets into three splits, as lines of text and as tokens of one joint vocabulary."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from quartet.artifacts.errors import BadInput, listed
from quartet.artifacts.tensor_files import save_arrays
from quartet.artifacts.verification import described_files, write_described
from quartet.artifacts.writing import write_text
from quartet.datasets.splits import SPLITS, Examples, Splits, split_examples
from quartet.datasets.tokenizers import encode_each
from quartet.language import TRANSLATION, begun
from quartet.language.preparation.fitting import fit_tokenizer
from quartet.language.settings import PreprocessText
from quartet.language.sources.pairs import SIDES, Pairs, read_pairs

VALIDATION, TEST = 0.05, 0.10  # shares of all pairs that are drawn where the source has no splits of its own
LONGEST_RATIO = 3  # a side that is longer than this many times the other may be no translation of it


@dataclasses.dataclass(frozen=True)
class SplitPairs:
    """Pairs by split.

    Attributes:
        languages: of source and target.
        texts: by split, the sources and the targets.
        report: what there is to say about the splits.
        left_out: the pairs that are not used, by reason.
    """

    languages: tuple[str, str]
    texts: dict[str, tuple[list[str], list[str]]]
    report: dict
    left_out: dict[str, list[str]]


def split_pairs(pairs: Pairs, settings: PreprocessText) -> SplitPairs:
    """Choose the two languages, leave out pairs with an empty side, and split the others.

    Raises:
        BadInput: there are no such languages, or the pairs cannot be split as the settings say.
    """
    languages = pairs.sides(settings.languages)
    sources, targets = (pairs.texts[name] for name in languages)
    empty = [not source or not target for source, target in zip(sources, targets, strict=True)]
    used = [number for number, blank in enumerate(empty) if not blank]
    if not used:
        raise BadInput("every pair has an empty side")
    examples = Examples(
        labels=[0] * len(used),
        classes=[""],
        names=[pairs.names[number] for number in used],
        own=[pairs.splits[number] for number in used],
        groups=[pairs.groups[number] for number in used] if pairs.groups else None,
        contents=[f"{sources[number]}\n{targets[number]}" for number in used],
    )
    splits = split_examples(examples, settings.splits, VALIDATION, settings.split_seed, TEST)
    texts = {
        name: ([sources[used[index]] for index in chosen], [targets[used[index]] for index in chosen])
        for name, chosen in ((name, splits.indices[name].tolist()) for name in SPLITS)
    }
    left_out = [name for name, blank in zip(pairs.names, empty, strict=True) if blank]
    notes = [*_doubled(examples), *_known_sources(texts), *_odd_lengths(examples.names, splits, sources, targets, used)]
    report = {**splits.report, "warnings": [*splits.report["warnings"], *notes]}
    return SplitPairs(languages, texts, report, {"an empty side": left_out} if left_out else {})


def _doubled(examples: Examples) -> Iterator[str]:
    """Pairs that equal an earlier one."""
    first: dict[object, str] = {}
    doubled = [
        f"{name} = {first[content]}"
        for name, content in zip(examples.names, examples.contents or (), strict=True)
        if first.setdefault(content, name) != name
    ]
    if doubled:
        yield f"doubled pairs: {listed(doubled)}"


def _known_sources(texts: dict[str, tuple[list[str], list[str]]]) -> Iterator[str]:
    """Sources of the held-out splits that training has with another target."""
    pairs, sources = set(zip(*texts["train"], strict=True)), set(texts["train"][0])
    for name in ("validation", "test"):
        known = [
            source for source, target in zip(*texts[name], strict=True)
            if source in sources and (source, target) not in pairs
        ]  # fmt: skip
        if known:
            yield f"{len(known)} sources of {name} are also in train, with other targets: {listed(known[:3], '; ')}"


def _odd_lengths(
    names: Sequence[str], splits: Splits, sources: list[str], targets: list[str], used: list[int]
) -> Iterator[str]:
    """Pairs whose sides differ so much in length, after the usual ratio of the two languages, that one is suspect."""
    lengths = np.array([[len(sources[number]), len(targets[number])] for number in used], float)
    ratios = lengths[:, 0] / lengths[:, 1]
    usual = np.median(ratios[splits.indices["train"]])
    odd = np.flatnonzero((np.maximum(ratios / usual, usual / ratios) > LONGEST_RATIO) & (lengths.max(axis=1) > 20))
    if len(odd):
        named = [names[index] for index in odd[:3].tolist()]
        yield f"{len(odd)} pairs have sides of very different lengths, and may be no translations: {', '.join(named)}"


def prepare_pairs(source: str, path: Path, folder: Path, settings: PreprocessText) -> dict:
    """Split the pairs, fit one tokenizer to both sides of the training pairs, encode; returns `info.json`'s content.

    Writes `{train,validation,test}.{source,target}.txt`, a line each, and `{train,validation,test}.safetensors`, which
    holds the token ids of each side one after another, and the number of each text's tokens.

    Raises:
        BadInput: the pairs cannot be split as the settings say.
    """
    try:
        split = split_pairs(read_pairs(path), settings)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from error
    print(f"{source}: from {split.languages[0]} to {split.languages[1]}", flush=True)
    for reason, names in split.left_out.items():
        print(f"{source}: ignored {len(names):,} pairs ({reason}): {listed(names)}", flush=True)
    for line in (split.report["origin"], *split.report["warnings"]):
        print(f"{source}: {line}", flush=True)
    lines = [begun(text) for side in split.texts["train"] for text in side]
    fitted = fit_tokenizer(settings, lines, sum(map(len, lines)))
    counts = {name: _write_split(folder, name, split.texts[name], fitted.tokenizer) for name in SPLITS}
    write_text(folder / "tokenizer.json", fitted.content)
    info = {
        "source": source,
        "task": TRANSLATION,
        "languages": list(split.languages),
        **fitted.about,
        "vocabulary_size": fitted.tokenizer.get_vocab_size(),
        "counts": counts,
        "splits": split.report,
        "left_out": split.left_out,
        **described_files(folder),
    }
    write_described(folder / "info.json", info)
    return info


def _write_split(folder: Path, name: str, texts: tuple[list[str], list[str]], tokenizer: Tokenizer) -> dict[str, int]:
    arrays, counts = {}, {"pairs": len(texts[0])}
    for side, lines in zip(SIDES, texts, strict=True):
        write_text(folder / f"{name}.{side}.txt", "".join(f"{line}\n" for line in lines))
        encoded = encode_each(tokenizer, [begun(line) for line in lines])
        arrays[side] = np.concatenate(encoded)
        arrays[f"{side}_lengths"] = np.array([len(tokens) for tokens in encoded], np.int32)
        counts[f"{side}_tokens"] = len(arrays[side])
        counts[f"{side}_bytes"] = (folder / f"{name}.{side}.txt").stat().st_size
    save_arrays(folder / f"{name}.safetensors", arrays)
    return counts
