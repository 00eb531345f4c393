"""BLEU, chrF and exact match of translations, by `sacrebleu`, and baselines that need no network."""

from collections.abc import Sequence

import numpy as np


def translation_scores(translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`bleu` (Papineni et al. 2002) and `chrf` (Popović 2015), both from 0 to 100, and the share of `exact_match`.

    They are cased and of the whole set, with sacrebleu's defaults (Post 2018), as `signatures` says.
    """
    from sacrebleu.metrics import BLEU, CHRF

    return {
        "bleu": BLEU().corpus_score(list(translations), [list(references)]).score,
        "chrf": CHRF().corpus_score(list(translations), [list(references)]).score,
        "exact_match": sum(map(str.__eq__, translations, references)) / len(references),
    }


def signatures() -> list[str]:
    """What sacrebleu computes, in the form in which papers report it."""
    from sacrebleu.metrics import BLEU, CHRF

    found = []
    for name, metric in (("BLEU", BLEU()), ("chrF", CHRF())):
        metric.corpus_score(["a"], [["a"]])  # the number of references is known only then
        found.append(f"{name}: {metric.get_signature()}")
    return found


def sentence_scores(translations: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF of each translation by itself; BLEU is 0 for most that are wrong in one word of four."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    return [metric.sentence_score(*pair).score for pair in zip(translations, map(_alone, references), strict=True)]


def _alone(reference: str) -> list[str]:
    return [reference]


def nearest_targets(train: tuple[Sequence[str], Sequence[str]], sources: Sequence[str]) -> list[str]:
    """For each source, the target of the training pair whose source has the most similar words (TF-IDF, cosine)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True, ngram_range=(1, 2))
    known = vectorizer.fit_transform(train[0])
    found: list[str] = []
    for start in range(0, len(sources), 256):
        similarities = vectorizer.transform(sources[start : start + 256]) @ known.T
        nearest = np.asarray(similarities.argmax(axis=1)).ravel()
        found += [train[1][number] for number in nearest.tolist()]
    return found
