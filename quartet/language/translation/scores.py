"""BLEU, chrF and exact match of translations, by `sacrebleu`, and baselines that need no network."""

import re
from collections.abc import Sequence

import numpy as np

MOST_READ = 2000  # texts that tell whether their script has spaces
MOST_KNOWN = 100_000  # training pairs among which the nearest is looked for
# Scripts that put no spaces between words: Chinese characters; kana, Thai, Lao, Burmese and Khmer.
_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_OTHERS = re.compile(r"[\u3040-\u30ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")


def words_of(texts: Sequence[str]) -> str:
    """How sacrebleu finds the words of a language: `13a` by spaces and punctuation (its default), `zh` Chinese
    characters one by one, `char` all characters, where most letters are of a script without spaces.
    """
    together = "".join(texts[:MOST_READ])
    chinese, others = len(_CHINESE.findall(together)), len(_OTHERS.findall(together))
    if 2 * (chinese + others) <= sum(map(str.isalpha, together)):
        return "13a"
    return "zh" if others <= chinese / 20 else "char"


def translation_scores(
    translations: Sequence[str], references: Sequence[str], words: str | None = None
) -> dict[str, float]:
    """`bleu` (Papineni et al. 2002) and `chrf` (Popović 2015), both from 0 to 100, and the share of `exact_match`.

    They are cased and of the whole set, with sacrebleu's defaults (Post 2018), as `signatures` says. `words` is what
    `words_of` says, by default of the references.
    """
    from sacrebleu.metrics import BLEU, CHRF

    return {
        "bleu": BLEU(tokenize=words or words_of(references)).corpus_score(list(translations), [list(references)]).score,
        "chrf": CHRF().corpus_score(list(translations), [list(references)]).score,
        "exact_match": sum(map(str.__eq__, translations, references)) / len(references),
    }


def signatures(words: str) -> list[str]:
    """What sacrebleu computes, in the form in which papers report it; `words` as in `translation_scores`."""
    from sacrebleu.metrics import BLEU, CHRF

    found = []
    for name, metric in (("BLEU", BLEU(tokenize=words)), ("chrF", CHRF())):
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
    """For each source, the target of the training pair whose source has the most similar words (TF-IDF, cosine).

    Where words are not separated by spaces, characters take their place. Of many training pairs, an even sample is
    taken.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    train = train[0][:: (every := -(-len(train[0]) // MOST_KNOWN))], train[1][::every]
    parts = {"token_pattern": r"\S+"} if words_of(train[0]) == "13a" else {"analyzer": "char"}
    vectorizer = TfidfVectorizer(**parts, sublinear_tf=True, ngram_range=(1, 2))
    known = vectorizer.fit_transform(train[0])
    found: list[str] = []
    for start in range(0, len(sources), 256):
        similarities = vectorizer.transform(sources[start : start + 256]) @ known.T
        nearest = np.asarray(similarities.argmax(axis=1)).ravel()
        found += [train[1][number] for number in nearest.tolist()]
    return found
