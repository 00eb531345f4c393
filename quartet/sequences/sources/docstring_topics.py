"""Text classification with the installed scikit-learn: which of its modules does a passage document?

A passage is a paragraph of prose from a docstring (see `docstring_prose.py`). Module names are masked in all passages,
so that they do not give the answer away.
"""

import collections
import re
from dataclasses import dataclass

from quartet.datasets.docstring_prose import docstring_prose

PACKAGE = "sklearn"
MASK = "[module]"
FEWEST_OBJECTS, FEWEST_WORDS = 25, 8


@dataclass(frozen=True)
class Passage:
    """A paragraph, the dotted name of the object that it documents, and that object's module (the topic)."""

    object_name: str
    topic: str
    text: str


def docstring_topics() -> list[Passage]:
    """The passages of every module with at least 25 documented objects; they depend only on the installed version."""
    by_topic: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    for name, text in docstring_prose().passages:
        package, _, rest = name.partition(".")
        if package == PACKAGE and "." in rest:
            by_topic[rest.partition(".")[0].lstrip("_")].append((name, text))
    topics = {topic: objects for topic, objects in by_topic.items() if len(objects) >= FEWEST_OBJECTS}
    names = re.compile(r"\b(?:sklearn[.\w]*|" + "|".join(map(re.escape, sorted(topics))) + r")\b", re.IGNORECASE)
    return [
        Passage(name, topic, names.sub(MASK, paragraph))
        for topic, objects in sorted(topics.items())
        for name, text in objects
        for paragraph in text.split("\n")
        if len(paragraph.split()) >= FEWEST_WORDS
    ]
