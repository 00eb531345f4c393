"""A user's tables as editors, spreadsheets and pandas write them."""

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from quartet.artifacts.errors import BadInput
from quartet.datasets.reading.tables import NumberStyle, read_table

GOOD = "name,x\na,1.5\nb,-2\n"
POINT = NumberStyle("preprocess.sequences")


def table(tmp_path, content, name="own.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path)


def refused(tmp_path, content, column="x", style=POINT):
    """The message about a column of numbers."""
    with pytest.raises(BadInput) as error:
        table(tmp_path, content).numbers(column, style)
    return str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.encode("utf-16"),
        '"name","x"\n"a","1.5"\n"b","-2"\n',
        " name , x \n a , 1.5 \n b , -2 \n",
        "\n" + GOOD.replace("\n", "\n\n"),
        GOOD + ",\n",
        GOOD.rstrip("\n"),
    ],
    ids=[
        "comma",
        "semicolon",
        "tab",
        "crlf",
        "bom",
        "utf-16",
        "quoted",
        "spaces",
        "blank-lines",
        "empty-cells",
        "no-last-line-end",
    ],
)
def test_one_table_in_every_spelling_is_one_table(tmp_path, content):
    found = table(tmp_path, content)
    assert found.columns == ["name", "x"] and found.text("name").tolist() == ["a", "b"]
    assert found.numbers("x", POINT).tolist() == [1.5, -2]


def test_a_packed_table_is_read(tmp_path):
    assert table(tmp_path, gzip.compress(GOOD.encode()), "own.csv.gz").text("name").tolist() == ["a", "b"]


def test_decimal_comma_and_thousands_are_settings_that_the_message_names(tmp_path):
    semicolon = "name;x\na;1,5\nb;-2,25\n"
    assert "preprocess.sequences.decimal = comma" in refused(tmp_path, semicolon)
    comma = NumberStyle("preprocess.sequences", "comma")
    assert table(tmp_path, semicolon).numbers("x", comma).tolist() == [1.5, -2.25]
    thousands = 'name,x\na,"1,000.5"\nb,"12,345,678"\n'
    assert "preprocess.sequences.thousands = comma" in refused(tmp_path, thousands)
    style = NumberStyle("preprocess.sequences", "point", "comma")
    assert table(tmp_path, thousands).numbers("x", style).tolist() == [1000.5, 12345678]


@pytest.mark.parametrize("cell", ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A"])
def test_cells_that_say_nothing_are_empty(tmp_path, cell):
    numbers = table(tmp_path, f"name,x\na,{cell}\nb,2\n").numbers("x", POINT)
    assert np.isnan(numbers[0]) and numbers[1] == 2


def test_text_that_reads_like_an_empty_cell_stays_text(tmp_path):
    assert table(tmp_path, "name,x\nNA,1\nnull,2\n").text("name").tolist() == ["NA", "null"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,x\na,1,\nb,2\n", r"row 2: ends in a comma, which the header does not"),
        ("name,x\na,1\nb,2,\n", r"row 3: ends in a comma, which the header does not"),
        ("name,x\na,1,\nb,2,\n", r"row 2: ends in a comma"),
        ("name;x\na;1;\nb;2\n", r"row 2: ends in a semicolon"),
        ("name,x\na,1\nb\n", r"row 3: has 1 cells where the header has 2"),
        ("name,x\na,b,1\n", r"row 2: has 3 cells where the header has 2"),
    ],
)
def test_rows_with_other_cells_than_the_header_are_named(tmp_path, content, message):
    with pytest.raises(BadInput, match=message):
        table(tmp_path, content)


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (['"Come," he said.', '"Hello"', '5" pipe'], ['"Come," he said.', '"Hello"', '5" pipe']),
        (['"opened', "then", 'closed"'], ['"opened', "then", 'closed"']),
        (['"Hello"', '"a ""b"" c"', "d"], ["Hello", 'a "b" c', "d"]),
        (['"a\tb"', '"c\nd"', "e"], ["a\tb", "c\nd", "e"]),
    ],
    ids=["beside", "over-lines", "whole-cells", "with-a-tab"],
)
def test_marks_between_tabs_enclose_whole_cells_or_are_text(tmp_path, cells, read):
    found = table(tmp_path, "said\tx\n" + "".join(f"{cell}\t1\n" for cell in cells), "own.tsv")
    assert found.text("said").tolist() == read and len(found.row_numbers()) == len(read)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('"Come," he said,2', "row 3: a cell goes on after its closing quotation mark; put the whole cell between"),
        ('"never closed,2', "row 3: a quotation mark is opened and never closed"),
    ],
)
def test_marks_between_commas_that_would_be_lost_are_refused(tmp_path, row, message):
    assert table(tmp_path, 'name,x\n"a" ,1\nb 5" pipe,2\n').text("name").tolist() == ["a", 'b 5" pipe']
    with pytest.raises(BadInput) as error:
        table(tmp_path, f"name,x\na,1\n{row}\nb,3\n")
    assert message in str(error.value)


def test_a_table_of_tabs_without_a_header_is_no_table_of_commas(tmp_path):
    assert table(tmp_path, "one, two\tb\nc\td, e\n", "own.tsv").columns == ["one, two", "b"]
    assert table(tmp_path, "one, two, three\tb\nc\td\n", "own.tsv").columns == ["one, two, three", "b"]


def test_a_cell_may_hold_a_whole_document(tmp_path):
    found = table(tmp_path, f'name,x\n"{"a, " * 50_000}",1\nb,2\n')
    assert list(found.row_numbers()) == [2, 3] and len(found.text("name")[0]) > 131_072


def test_rows_are_numbered_as_an_editor_does(tmp_path):
    blank = "name,x\n\na,1\n\n\nb,2\n,\nc,oops\n"
    assert "row 8: x 'oops' is not a number" in refused(tmp_path, blank)
    in_quotes = '\r\nname,x\r\n"two\r\nlines",1\r\nb,oops\r\n'
    assert "row 5: x 'oops'" in refused(tmp_path, in_quotes)


def test_columns_of_one_name_are_both_named(tmp_path):
    with pytest.raises(BadInput, match=r"columns 2 and 4 are both named 'x'"):
        table(tmp_path, "name,x,y,x\na,1,2,3\n")
    with pytest.raises(BadInput, match=r"columns 1 and 3 are both named 'label'"):
        table(tmp_path, "label,x,label\n0,1,0\n")


def test_the_column_that_pandas_adds_is_refused_with_the_remedy(tmp_path):
    pd.DataFrame({"name": ["a"], "x": [1]}).to_csv(tmp_path / "index.csv")
    with pytest.raises(BadInput, match=r"column 1 has no name.*index=False"):
        read_table(tmp_path / "index.csv")


def test_another_encoding_is_named_with_the_command_that_converts(tmp_path):
    text = "name,x\ncafé crème à la française,1\nélève très tôt,2\n"
    with pytest.raises(BadInput, match=r"own\.csv.*iconv -f WINDOWS-1252 -t UTF-8 .*own\.csv.* > "):
        table(tmp_path, text.encode("latin1"))


@pytest.mark.parametrize(("cell", "message"), [("1e39", "is beyond 3.4e"), ("-1e300", "beyond"), ("inf", "not finite")])
def test_numbers_beyond_float32_are_refused(tmp_path, cell, message):
    found = refused(tmp_path, f"name,x\na,1\nb,{cell}\n")
    assert f"row 3: x '{cell}' is" in found and message in found


def test_numbers_are_exactly_what_their_digits_say(tmp_path):
    cells = ["0.1", "5412345.013", "1700000000001", "1e-12", ".5", "5.", "+3", "2.2250738585072014e-308"]
    content = "name,x\n" + "".join(f"a,{cell}\n" for cell in cells)
    assert table(tmp_path, content).numbers("x", POINT).tolist() == [float(cell) for cell in cells]


def test_parquet_csv_and_json_lines_of_one_table_are_equal(tmp_path):
    numbers = np.random.default_rng(0).normal(0, 1e6, 50)
    data = pd.DataFrame({"name": [f"n{number}" for number in range(50)], "whole": range(50), "x": numbers})
    data.to_csv(tmp_path / "own.csv", index=False)
    data.to_parquet(tmp_path / "own.parquet")
    lines = [f'{{"name": "{n}", "whole": {w}, "x": {x!r}}}' for n, w, x in data.itertuples(index=False)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    for ending in ("csv", "parquet", "jsonl"):
        found = read_table(tmp_path / f"own.{ending}")
        assert found.columns == ["name", "whole", "x"], ending
        assert found.text("whole").tolist() == list(map(str, range(50))), ending
        assert found.numbers("x", POINT).tobytes() == numbers.tobytes(), ending


def test_text_of_bytes_is_text_and_lists_stay_lists(tmp_path):
    columns = {"bytes": pa.array([b"cat", "h\u00e9".encode()]), "list": pa.array([["a", " b"], ["c"]])}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.text("bytes").tolist() == ["cat", "h\u00e9"]
    assert table.texts("list") == [["a", "b"], ["c"]] and table.text("list")[0] == '["a", " b"]'


def test_a_wrong_line_of_json_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"own\.jsonl: row 3: is not JSON"):
        table(tmp_path, '{"name": "a"}\n\n{"name": \n', "own.jsonl")
    with pytest.raises(BadInput, match=r"row 1: two values have one name"):
        table(tmp_path, '{"name": "a", "name": "b"}\n', "own.jsonl")


@pytest.mark.parametrize("name", ["own.xlsx", "own", "own.txt"])
def test_files_that_are_no_tables_are_refused_with_what_is_read(tmp_path, name):
    with pytest.raises(BadInput, match=r"no table that can be read.*\.csv, \.tsv, \.jsonl, \.parquet"):
        table(tmp_path, GOOD, name)


def test_a_table_without_rows_is_refused(tmp_path):
    with pytest.raises(BadInput, match="has no rows"):
        table(tmp_path, "name,x\n\n,\n")
