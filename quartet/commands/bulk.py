"""Answer any number of questions with one model: batch by batch, and past those that it cannot answer."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from quartet.artifacts.errors import BadRequest

BATCH = 64  # large enough to be fast, small enough for any machine's memory

Question = TypeVar("Question")
Answer = TypeVar("Answer")


def answers_in_bulk(
    questions: Iterable[Question], answer: Callable[[Sequence[Question]], Sequence[Answer]], batch: int = BATCH
) -> Iterator[tuple[Question, Answer | OSError | ValueError]]:
    """Yield each question with its answer, or with the error that it alone causes.

    Args:
        questions: what to ask, such as paths; they are taken as they are needed.
        answer: reads and answers some of them; its `OSError` or `ValueError` says that one of them is bad.
        batch: how many to answer at once.

    Raises:
        BadRequest: none of them can be answered.
    """
    remaining = iter(questions)
    while asked := list(itertools.islice(remaining, batch)):
        yield from zip(asked, _answers(asked, answer), strict=True)


def _answers(
    asked: Sequence[Question], answer: Callable[[Sequence[Question]], Sequence[Answer]]
) -> Sequence[Answer | OSError | ValueError]:
    try:
        return answer(asked)
    except BadRequest:
        raise
    except (OSError, ValueError) as error:
        if len(asked) == 1:
            return [error]
        return [found for question in asked for found in _answers([question], answer)]


def reason(error: Exception) -> str:
    """What is wrong with a question, in a line that names its file if it has one."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
