"""A text that ends before the first of some strings, as its tokens come."""

from collections.abc import Callable, Iterator, Sequence


class Written:
    """A text that is being written, up to the first of the strings `stop`.

    Attributes:
        tokens: of the text so far, with those of the string that ends it.
        is_over: whether the text has ended before such a string, as far as `piece` has looked.
    """

    def __init__(self, stop: Sequence[str], decode: Callable[[list[int]], str]):
        self.stop, self.decode = [string for string in stop if string], decode
        self.tokens: list[int] = []
        self.is_over = False
        self._said = 0

    def piece(self) -> str:
        """What can be said by now and was not yet.

        What may be the beginning of such a string is held back, and so are bytes that may be the beginning of a
        character.
        """
        text, end = self._text_and_end()
        # A longer string that began before the one that is complete may still be completed.
        whole = text.rstrip("\ufffd")
        safe = min(end, len(whole) - max((_begun(whole, string) for string in self.stop), default=0))
        said, self._said = self._said, max(self._said, safe)
        self.is_over = safe == end < len(text)
        return text[said : self._said]

    def rest(self) -> str:
        """What is left to say if no more tokens come."""
        text, end = self._text_and_end()
        return text[self._said : end]

    def _text_and_end(self) -> tuple[str, int]:
        text = self.decode(self.tokens)
        return text, min((place for string in self.stop if (place := text.find(string)) >= 0), default=len(text))


def pieces_before(stop: Sequence[str], tokens: Iterator[int], decode: Callable[[list[int]], str]) -> Iterator[str]:
    """The text of tokens as they come, up to the first of the strings `stop`."""
    text = Written(stop, decode)
    for token in tokens:
        text.tokens.append(token)
        if piece := text.piece():
            yield piece
        if text.is_over:
            return
    if rest := text.rest():
        yield rest


def _begun(text: str, string: str) -> int:
    """The number of characters at the end of a text with which a string may begin."""
    return next((length for length in range(len(string) - 1, 0, -1) if text.endswith(string[:length])), 0)
