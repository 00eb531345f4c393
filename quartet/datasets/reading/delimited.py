"""The records of a CSV file: its delimiter, its names, whether its quotation marks enclose cells, and its lines."""

import csv
import functools
import io
import re
from collections.abc import Iterator
from typing import Any

csv.field_size_limit(2**31 - 1)  # a cell may hold a whole document
_DELIMITERS = "\t,;"  # of those that occur as often in the header, the first
_WHOLE_CELL = re.compile(rb'"(?:[^"]|"")*"|[^"]*')  # as CSV quotes


class Records:
    """The records of a CSV file by Python's own reader: slower than Arrow's, but it knows their lines.

    Attributes:
        header_line: its number, counted from 1.
        delimiter: a comma, a semicolon or a tab.
        names: of the columns.
    """

    def __init__(self, content: bytes, *, tabs: bool = False):
        """`tabs` says that the name of the file ends in .tsv."""
        self.content = content
        lines = enumerate(self._text(), start=1)
        self.header_line, header = next(((number, line) for number, line in lines if line.strip()), (0, ""))
        self.delimiter = max(_DELIMITERS, key=lambda delimiter: len(_cells(header, delimiter)))
        if tabs and "\t" in header:
            self.delimiter = "\t"
        self.names = _cells(header, self.delimiter)

    @functools.cached_property
    def quoted(self) -> bool:
        """Whether quotation marks enclose cells.

        Between tabs they do not where each line has as many cells as the header, and some cell has a mark in it that
        encloses no whole cell: lists of sentences are mostly written so.
        """
        if self.delimiter != "\t" or b'"' not in self.content:
            return True
        rows = [line.split(b"\t") for line in self.content.splitlines() if line.strip()]
        if any(len(row) != len(self.names) for row in rows):
            return True
        return all(_WHOLE_CELL.fullmatch(cell.strip()) for row in rows for cell in row if b'"' in cell)

    def _text(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(self.content), "utf-8", newline="")

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """The line on which a record begins, and its cells; blank records are left out."""
        how: Any = {"delimiter": self.delimiter, "quoting": csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE}
        reader, line = csv.reader(self._text(), **how), 1
        for cells in reader:
            if line > self.header_line and any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1

    def lines(self) -> list[int]:
        """The line on which each record begins."""
        return [line for line, _ in self]

    def malformed(self) -> str | None:
        """What is wrong with the first record that has not as many cells as the header."""
        width = len(self.names)
        for line, cells in self:
            if len(cells) == width + 1 and not cells[-1].strip():
                sign = {",": "comma", ";": "semicolon", "\t": "tab"}[self.delimiter]
                return f"row {line}: ends in a {sign}, which the header does not; remove it"
            if len(cells) != width:
                return (
                    f"row {line}: has {len(cells)} cells where the header has {width}; text that holds the delimiter "
                    f"({self.delimiter!r}) or a line end stands between quotation marks"
                )
        return None

    def wrong_quotation(self) -> str | None:
        """What is wrong with the first cell whose quotation marks do not enclose it, since marks would be lost."""
        if not self.quoted or b'"' not in self.content:
            return None
        content = re.sub(rb'" +(?=[,;\t\r\n])', b'"', self.content)  # blanks after a closing mark do no harm
        text = io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="")
        reader, line = csv.reader(text, delimiter=self.delimiter, strict=True), 1
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            if "end of data" in str(error):
                return f'row {line}: a quotation mark is opened and never closed; write one that is text as """"'
            return (
                f"row {reader.line_num}: a cell goes on after its closing quotation mark; put the whole cell between "
                'marks, and write each mark inside twice: """Come,"" he said"'
            )
        return None


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])]
