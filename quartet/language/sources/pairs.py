"""Pairs of a source and a target: a text in two or more languages, from a table, JSON lines or parallel files."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quartet.artifacts.errors import BadInput, listed
from quartet.datasets.reading.json_lines import json_objects
from quartet.datasets.reading.tables import ENDINGS, read_table
from quartet.datasets.reading.text_files import PACKED, lines_of
from quartet.datasets.splits import SPLITS, split_name
from quartet.language import one_line

SIDES = ("source", "target")
_CODE = re.compile(r"[a-z]{2,3}([_-][A-Za-z]{2,8})?")  # of a language, such as en or pt-BR


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Texts that say the same in each of several languages.

    Attributes:
        names: what messages call each pair.
        splits: `train`, `validation` or `test` where the source says so.
        texts: by language, or by `source` and `target`; in the order of the source, one text per pair.
        groups: what a pair belongs to, such as a document, if the source says so.
        ignored: files beside the parallel ones that are not read.
    """

    names: list[str]
    splits: list[str | None]
    texts: dict[str, list[str]]
    groups: list[str | None] | None = None
    ignored: list[str] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def sides(self, languages: str | None) -> tuple[str, str]:
        """The names of source and target; `languages`, such as `en-de`, chooses among several or turns them round.

        Raises:
            BadInput: there are no such languages, or there are several and none is chosen.
        """
        found = list(self.texts)
        if languages is None:
            if len(found) == 2:
                return found[0], found[1]
            raise BadInput(
                f"has {', '.join(found)}; set preprocess.text.languages to two of them, such as {found[0]}-{found[1]}"
            )
        for first in found:
            second = languages.removeprefix(f"{first}-")
            if second != languages and second in found and second != first:
                return first, second
        allowed = f"two of {', '.join(found)}, such as {found[1]}-{found[0]}"
        if len(found) == 2:
            allowed = f"null, {found[0]}-{found[1]} and {found[1]}-{found[0]}"
        raise BadInput(f"preprocess.text.languages: found {languages!r}, allowed are {allowed}")


def read_pairs(path: Path) -> Pairs:
    """Read a table with the columns `source` and `target` (or two named by languages, and maybe `split` and `group`),
    JSON lines with these fields or with `{"translation": {"en": …, "de": …}}`, or a folder of parallel files
    (`train.en`, `train.de`, …), which may be packed.

    Raises:
        BadInput: the source is missing, malformed or has no pairs, or its parallel files differ in their number of
            lines.
    """
    if path.is_dir():
        return _parallel_files(path)
    if _unpacked(path.name).lower().endswith(".jsonl"):
        pairs = _json_lines(path)
    elif _unpacked(path.name).lower().endswith(ENDINGS):
        pairs = _table(path)
    elif path.exists():
        raise BadInput(f"{path}: is no table that can be read; its name ends in none of {', '.join(ENDINGS)}")
    else:
        raise BadInput(f"{path}: no such file or folder")
    if not len(pairs):
        raise BadInput(f"{path}: has no pairs")
    return pairs


def _table(path: Path) -> Pairs:
    table = read_table(path)
    languages = _columns_of_text(path, table.columns)
    splits = table.text("split").tolist() if "split" in table.data else [""] * len(table)
    rows = table.row_numbers()
    texts = {name: [one_line(text) for text in table.text(name)] for name in languages}
    return Pairs(
        [f"row {row}" for row in rows],
        [_split(f"{path}: row {row}", split) for row, split in zip(rows, splits, strict=True)],
        texts,
        [group or None for group in table.text("group")] if "group" in table.data else None,
    )


def _columns_of_text(path: Path, columns: Sequence[str]) -> list[str]:
    if set(SIDES) <= set(columns):
        return list(SIDES)
    languages = [name for name in columns if _CODE.fullmatch(name)]
    if len(languages) < 2:
        raise BadInput(
            f"{path}: has no columns source and target, nor two named by their languages (en, de); its columns are "
            f"{listed(list(columns)) or 'none'}; name them so, in a table in its first line"
        )
    return languages


def _json_lines(path: Path) -> Pairs:
    pairs, languages, groups = Pairs([], [], {}), None, list[str | None]()
    for row, record in json_objects(path):
        where = f"{path}: row {row}"
        texts = record.get("translation", record)
        if not isinstance(texts, dict):
            raise BadInput(f'{where}: translation is not an object such as {{"en": …, "de": …}}')
        if languages is None:
            languages = list(texts) if "translation" in record else _columns_of_text(path, list(texts))
            if len(languages) < 2:
                raise BadInput(f"{where}: translation has fewer than two languages")
            pairs.texts.update({name: [] for name in languages})
        for name in languages:
            pairs.texts[name].append(one_line(_field(where, texts, name)))
        pairs.names.append(str(record.get("name") or f"row {row}"))
        pairs.splits.append(_split(where, _field(where, {"split": "", **record}, "split")))
        groups.append(None if record.get("group") in (None, "") else str(record["group"]))
    return dataclasses.replace(pairs, groups=groups if any(groups) else None)


def _field(where: str, record: Mapping[str, Any], name: str) -> str:
    if name not in record:
        raise BadInput(f"{where}: has no {name}; its fields are {listed(list(record)) or 'none'}")
    value = record[name] or ""
    if not isinstance(value, str):
        raise BadInput(f"{where}: {name} is {type(value).__name__}, not text")
    return value


def _split(where: str, name: str) -> str | None:
    if name.strip() and split_name(name) is None:
        raise BadInput(f"{where}: split {name!r} is none of {', '.join(SPLITS)}")
    return split_name(name)


def _parallel_files(folder: Path) -> Pairs:
    """The pairs of files such as `train.en` and `train.de`: equal lines say the same."""
    files = _files_by_stem(folder)
    languages = _ordered({language for parts in files.values() for language in parts})
    if len(languages) < 2:
        raise BadInput(
            f"{folder}: has no parallel files, such as train.en and train.de (maybe packed as .gz or .zst), of two "
            f"languages; found are {', '.join(languages) or 'none'}"
        )
    read_files = {path for parts in files.values() for path in parts.values()}
    ignored = [path.name for path in sorted(folder.iterdir()) if path not in read_files and path.name[0] != "."]
    pairs = Pairs([], [], {name: [] for name in languages}, ignored=ignored)
    stem_of: dict[str, str] = {}  # by split
    for stem, parts in files.items():
        split = _split_of_stem(stem)
        if split is not None and stem_of.setdefault(split, stem) != stem:
            raise BadInput(f"{folder}: {stem_of[split]} and {stem} are both {split}; move one elsewhere")
        missing = [name for name in languages if name not in parts]
        if missing:
            raise BadInput(f"{folder}: {stem} has no file in {', '.join(missing)}")
        read = {name: [one_line(line) for line in lines_of(parts[name])] for name in languages}
        counts = {parts[name].name: len(lines) for name, lines in read.items()}
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{name} has {count:,} lines" for name, count in counts.items())
            raise BadInput(f"{folder}: {said}; each line of one needs its translation on the same line of the other")
        for name, lines in read.items():
            pairs.texts[name].extend(lines)
        count = next(iter(counts.values()))
        pairs.names.extend(f"{stem} line {number}" for number in range(1, count + 1))
        pairs.splits.extend([split] * count)
    if not len(pairs):
        raise BadInput(f"{folder}: its files have no lines")
    if any(pairs.splits) and None in pairs.splits:
        outside = [stem for stem in files if _split_of_stem(stem) is None]
        raise BadInput(f"{folder}: {listed(outside)} is in none of the splits {', '.join(stem_of)}; move it elsewhere")
    return pairs


def _files_by_stem(folder: Path) -> dict[str, dict[str, Path]]:
    """The files of a folder by what stands before the language, and by language."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        stem, _, language = _unpacked(path.name).rpartition(".")
        if not path.is_file() or path.name.startswith(".") or not stem:
            continue
        if (_CODE.fullmatch(language) and language not in ("md", "txt", "csv", "tsv")) or language in SIDES:
            if language in found.setdefault(stem, {}):
                raise BadInput(f"{folder}: {found[stem][language].name} and {path.name} are the same; remove one")
            found[stem][language] = path
    parallel = {stem: parts for stem, parts in found.items() if len(parts) > 1}
    languages = {language for parts in parallel.values() for language in parts}
    alone = [
        path.name
        for stem, parts in found.items()
        if stem not in parallel and _split_of_stem(stem)
        for language, path in parts.items()
        if language in languages
    ]
    if alone:
        raise BadInput(
            f"{folder}: {listed(alone)} has no file in another language beside it; name that one like those of "
            f"{next(iter(parallel))}, or move {alone[0]} elsewhere"
        )
    return parallel or found


def _ordered(languages: set[str]) -> list[str]:
    """`source` before `target`, English before others, which are in alphabetical order."""
    return sorted(languages, key=lambda name: (name not in ("source", "en"), name))


def _split_of_stem(stem: str) -> str | None:
    """The split that a name such as `val`, `test_2016_flickr` or `corpus.train` says."""
    parts = re.split(r"[._-]", stem)
    return split_name(parts[0]) or split_name(parts[-1])


def _unpacked(name: str) -> str:
    return next((name[: -len(ending)] for ending in PACKED if name.lower().endswith(ending)), name)


def pair_records(pairs: Pairs) -> Iterator[dict[str, Any]]:
    """The pairs as JSON lines that `read_pairs` reads."""
    for number, split in enumerate(pairs.splits):
        texts = {name: column[number] for name, column in pairs.texts.items()}
        group = pairs.groups[number] if pairs.groups else None
        said = {name: value for name, value in (("split", split), ("group", group)) if value}
        yield {"name": pairs.names[number], "translation": texts, **said}
