"""Baselines for a language model on the same test bytes: compressors and an n-gram model."""

import bz2
import lzma
import math

import numpy as np

CHUNK = 2**20  # bytes of the test text scored at once


def compression_bits_per_byte(train: bytes, test: bytes) -> dict[str, float]:
    """The cost of compressing the test text after the training text: (|c(train + test)| − |c(train)|) per byte."""
    lzma_filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    compressors = {
        "xz": lambda text: lzma.compress(text, filters=lzma_filters),
        "bz2": lambda text: bz2.compress(text, 9),
    }
    return {
        f"baseline_{name}_bits_per_byte": 8 * (len(compress(train + test)) - len(compress(train))) / len(test)
        for name, compress in compressors.items()
    }


def ngram_bits_per_byte(train: bytes, test: bytes, order: int = 5) -> float:
    """Interpolated n-gram of bytes with Witten-Bell smoothing (Bell, Cleary & Witten 1990).

        p(c | h) = (N(h c) + T(h) p(c | h')) / (N(h) + T(h))

    with N the counts in the training text, T(h) the number of different bytes that follow h, and h' the context h
    without its first byte. The recursion ends with the uniform distribution over 256 bytes.

    Args:
        order: length of the longest n-gram, at most 7, since an n-gram is packed into 64 bits.
    """
    # Padded at the start, so that the first bytes have a context too.
    known = np.frombuffer(b"\n" * (order - 1) + train, np.uint8)
    scored = np.frombuffer(b"\n" * (order - 1) + test, np.uint8)
    probability = np.full(len(test), 1 / 256)
    for length in range(1, order + 1):
        grams, counts = np.unique(_packed(known, length, order), return_counts=True)
        contexts, first = np.unique(grams >> np.uint64(8), return_index=True)
        followers = np.diff(np.append(first, len(grams)))  # T(h)
        totals = np.add.reduceat(counts, first)  # N(h)
        for start in range(0, len(test), CHUNK):
            part = slice(start, start + CHUNK)
            wanted = _packed(scored[start : start + CHUNK + order - 1], length, order)
            n_gram = _lookup(grams, counts, wanted)
            at = np.searchsorted(contexts, wanted >> np.uint64(8)).clip(max=len(contexts) - 1)
            seen = contexts[at] == wanted >> np.uint64(8)
            total, distinct = np.where(seen, totals[at], 0), np.where(seen, followers[at], 0)
            interpolated = (n_gram + distinct * probability[part]) / np.maximum(total + distinct, 1)
            probability[part] = np.where(seen, interpolated, probability[part])
    return float(-np.log(probability).sum() / math.log(2) / len(test))


def _packed(text: np.ndarray, length: int, order: int) -> np.ndarray:
    """The n-grams of `length` that end at each byte from the `order`-th on, each packed into one integer."""
    packed = np.zeros(len(text) - order + 1, np.uint64)
    for offset in range(order - length, order):
        packed = (packed << np.uint64(8)) | text[offset : offset + len(packed)]
    return packed


def _lookup(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
