"""Each promise in `docs/promises.md` names a test that exists, and a figure."""

import ast
import re

import pytest

from benchmarks.code_graph import TOP

PAGE = (TOP / "docs/promises.md").read_text()
TABLE = PAGE.partition("| promise | kept by | figure |\n")[2].partition("\n\n")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines()[1:]]


def test_there_are_promises():
    assert len(ROWS) >= 25 and len({promise for promise, *_ in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_promise_names_tests_that_exist_and_a_figure(row):
    promise, kept_by, figure = row
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", kept_by)
    assert promise and figure and named and kept_by.count("`") == 2 * len(named)
    for path, name in named:
        tests = {node.name for node in ast.parse((TOP / path).read_text()).body if isinstance(node, ast.FunctionDef)}
        assert name in tests and name.startswith("test_"), (path, name)
