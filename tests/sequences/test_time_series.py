"""A user's time series: what is read, and which rows are named as malformed."""

import numpy as np
import pytest

from quartet.datasets.reading.tables import NumberStyle, read_table
from quartet.datasets.reading.time_series import filled
from quartet.sequences.preparation.series_tables import series_from_table
from quartet.sequences.settings import Columns

GOOD = "series,step,label,x,y\nb,1,up,1.5,2\na,2,down,3,4\na,1,down,5,6\nb,2,up,7,\n"


def read(tmp_path, text, missing="error"):
    path = tmp_path / "series.csv"
    path.write_text(text)
    return filled(series_from_table(read_table(path), Columns(), NumberStyle("preprocess.sequences")), missing)


def test_series_are_sorted_and_keep_their_lengths_and_labels(tmp_path):
    series = read(tmp_path, GOOD.replace("7,", "7,8"))
    assert series.names == ["a", "b"] and series.labels == ["down", "up"] and series.features == ["x", "y"]
    assert series.lengths.tolist() == [2, 2]
    assert np.array_equal(series.values, [[5, 6], [3, 4], [1.5, 2], [7, 8]])


def test_missing_values_are_an_error_or_what_the_setting_says(tmp_path):
    with pytest.raises(
        ValueError, match=r"series\.csv: series b: y is empty at step 2 .* preprocess\.sequences\.missing"
    ):
        read(tmp_path, GOOD)
    assert read(tmp_path, GOOD, "zero").values[3].tolist() == [7, 0]
    assert read(tmp_path, GOOD, "previous").values[3].tolist() == [7, 2]
    starts_empty = "series,step,label,x\na,1,u,\na,2,u,3\nb,1,v,\nb,2,v,9\n"
    assert read(tmp_path, starts_empty, "previous").values[:, 0].tolist() == [0, 3, 0, 9]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,3,down,oops,1", "row 6: x 'oops' is not a number"),
        ("a,3,down,inf,1", "row 6: x 'inf' is not finite"),
        ("a,,down,1,1", "row 6: step is empty"),
        ("a,1,down,1,1", "row 6: step .1. appears twice"),
        ("a,3,up,1,1", "row 6: label 'up' differs"),
        (",3,up,1,1", "row 6: series is empty"),
        ("a,3,,1,1", "row 6: label is empty"),
        ("a,3,down,1,1,1", "row 6: has 6 cells where the header has 5"),
        ("a,3,down,1,1,", "row 6: ends in a comma, which the header does not"),
    ],
)
def test_malformed_rows_are_named(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, GOOD.replace("7,", "7,8") + row + "\n")


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(ValueError, match="no column label"):
        read(tmp_path, "series,step,x\na,1,2\n")
    with pytest.raises(ValueError, match="no feature, a column of numbers"):
        read(tmp_path, "series,step,label\na,1,2\n")
    with pytest.raises(ValueError, match="has no rows"):
        read(tmp_path, "series,step,label,x\n")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (",series,step,label,x", "column 1 has no name.*index=False"),
        ("series,step,label,x,", "column 5 has no name"),
        ("Unnamed: 0,series,step,label,x", "column 1 has no name"),
        ("series,step,label,x,x ", "columns 4 and 5 are both named 'x'"),
        ("series,step,label,x,label", "columns 3 and 5 are both named 'label'"),
    ],
)
def test_columns_without_a_name_and_with_the_same_are_refused(tmp_path, header, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, f"{header}\n1,1,1,1,1\n")


def test_white_space_around_labels_and_names_makes_no_other(tmp_path):
    series = read(tmp_path, "series,step,label,x\na,1,up ,1\na ,2,up,2\nb,1, up,3\n")
    assert series.names == ["a", "b"] and series.labels == ["up", "up"]
