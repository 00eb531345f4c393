"""Tokenizers: BPE, character and byte. All are byte-level, so they encode any text without loss.

They differ only in their vocabulary: the 256 bytes (`byte`), plus merges into the characters of the training text
(`character`) or into its frequent strings (`bpe`; Sennrich et al. 2016, Radford et al. 2019).
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from quartet.artifacts.verification import check_file, restoring

AT_ONCE = 2**21  # characters that are encoded at once; the library needs a hundred bytes and more for each
MAX_PIECE = 2048  # characters; the time to merge a string without spaces or punctuation grows with its square

# Of a large text, BPE is fitted to a sample: it keeps each distinct word with a hundred bytes for each of its own.
SAMPLE = 2**25  # characters
DISTINCT = 2**23  # bytes of distinct words


def train_tokenizer(kind: str, texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Fit a tokenizer of the given kind (`bpe`, `character`, `byte`) to the training `texts`.

    `vocabulary_size` is the size of a BPE vocabulary; the other kinds ignore it.
    """
    bytes_only = {letter: number for number, letter in enumerate(_byte_letters())}
    if kind == "bpe":
        tokenizer = _byte_level(models.BPE(), split_words=True)
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size, initial_alphabet=list(bytes_only), show_progress=False, special_tokens=[]
        )
        tokenizer.train_from_iterator(_pieces(texts), trainer)
        return tokenizer
    vocabulary, merges = dict(bytes_only), []
    if kind == "character":
        letters = _byte_letters()
        for character in sorted({character for text in texts for character in text}):
            spelled = [letters[byte] for byte in character.encode("utf-8")]
            for length in range(1, len(spelled)):
                joined = "".join(spelled[: length + 1])
                if joined not in vocabulary:
                    vocabulary[joined] = len(vocabulary)
                    merges.append(("".join(spelled[:length]), spelled[length]))
    return _byte_level(models.BPE(vocab=vocabulary, merges=merges), split_words=False)


def training_sample(lines: Iterable[str], characters: int) -> list[str]:
    """The lines of a text to fit a BPE tokenizer to: all, or an even sample where the text is large.

    Text without spaces, such as Chinese, has nearly as many distinct words as words, so that its sample is smaller.

    Args:
        lines: of the text.
        characters: their number.
    """
    kept, read, taken = [], 0, 0
    for line in lines:
        if taken * characters <= read * SAMPLE:
            kept.append(line)
            taken += len(line)
        read += len(line)
    while len(kept) > 1 and _has_too_many_words(kept):
        kept = kept[::2]
    return kept


def _has_too_many_words(lines: Iterable[str]) -> bool:
    seen, size = set(), 0
    for line in lines:
        for word in re.findall(r"\w+|[^\w\s]+", line):
            if word not in seen:
                seen.add(word)
                size += len(word.encode())
        if size > DISTINCT:
            return True
    return False


def load_tokenizer(path: Path) -> Tokenizer:
    """Read `tokenizer.json`.

    Raises:
        ValueError: the file is missing or broken.
    """
    check_file(path, restoring(path.parent, f"preprocess@{path.parent.name}"))
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises bare Exception for every cause.
        raise ValueError(f"{path}: cannot be read as a tokenizer ({error}); `dvc repro` rebuilds it") from error


def encoded_lines(
    tokenizer: Tokenizer, lines: Iterable[str], dtype: type, at_once: int = AT_ONCE
) -> Iterator[np.ndarray]:
    """Encode a text given as lines; yields the `(tokens,)` ids of about `at_once` characters at a time."""
    for batch in _batches(lines, at_once):
        yield np.concatenate([np.asarray(line.ids, dtype) for line in tokenizer.encode_batch_fast(batch)])


def _batches(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of lines with `size` characters, or a line more."""
    batch: list[str] = []
    characters = 0
    for line in lines:
        batch.append(line)
        characters += len(line)
        if characters >= size:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def encode_each(tokenizer: Tokenizer, texts: list[str]) -> list[np.ndarray]:
    """The token ids of each text, `(tokens,)` int32; no text may be empty."""
    batches = map(tokenizer.encode_batch_fast, _batches(texts, AT_ONCE))
    return [np.asarray(encoded.ids, np.int32) for batch in batches for encoded in batch]


def decoded_tokens(tokenizer: Tokenizer) -> list[str]:
    """The text of each token of the vocabulary; an incomplete character gives U+FFFD."""
    return tokenizer.decode_batch([[token] for token in range(tokenizer.get_vocab_size())])


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """Like `decoded_tokens`, but incomplete characters give their vocabulary entry, which is unique."""
    texts = decoded_tokens(tokenizer)
    return [
        text if text and "\ufffd" not in text else tokenizer.id_to_token(number) or text
        for number, text in enumerate(texts)
    ]


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from (text[start : start + MAX_PIECE] for start in range(0, len(text), MAX_PIECE))


def _byte_level(model: models.BPE, *, split_words: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split_words)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _byte_letters() -> list[str]:
    """The printable letter that byte-level tokenizers use for each byte (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
