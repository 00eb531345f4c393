"""Every example of docs/your-data.md is read, downloaded and prepared, from the page's own text.

A block whose first line ends in `/` is a tree: its pictures are drawn and its texts written here. A block after a line
with a file name and a colon is that file. A block of Python makes a file.
"""

import contextlib
import re
import shlex
import shutil

import pytest
from in_process import run
from own_pictures import draw

from benchmarks.code_graph import TOP
from quartet.artifacts.writing import read_json
from quartet.families import ITEMS
from quartet.settings import read_settings

PAGE = (TOP / "docs/your-data.md").read_text()
BLOCKS = re.findall(r"(?:^`([^`\n]+)`:\n\n)?^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S)
COMMANDS = [
    shlex.split(line, comments=True)[3:]
    for _, language, text in BLOCKS
    for line in text.replace("\\\n", " ").splitlines()
    if language == "sh" and line.startswith("python -m quartet inspect")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of all examples."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(TOP / "params.yaml", folder)
    for name, language, text in BLOCKS:
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        elif language == "python":
            with contextlib.chdir(folder):
                exec(text)
        elif text.partition("\n")[0].endswith("/"):
            top, *names = text.split()
            for seed, file in enumerate(names):
                make(folder / top / file, seed)
    return folder


def make(path, seed):
    if path.suffix == ".txt":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"Sentence {number} of {path.name}.\n" for number in range(200)))
    else:
        draw(path, "RGB", seed=seed)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: f"{words[1]} {words[2].rpartition('/')[2]}")
def test_an_example_is_read_as_the_look_says(folder, command):
    shutil.copy(TOP / "params.yaml", folder)
    before = sorted(folder.rglob("*"))
    found = run(folder, "quartet", *command)
    assert sorted(folder.rglob("*")) == before
    item = command[1]
    (source,) = re.findall(rf"^  download\.{item}: (.*)$", found, re.M)
    if "--write" not in command:
        assert (folder / "params.yaml").read_text() == (TOP / "params.yaml").read_text()
        return
    assert read_settings(folder / "params.yaml").source(item) == source
    run(folder, "stages.download", item)
    run(folder, "stages.preprocess", item)
    report = read_json(folder / "data/processed" / item / "info.json")["splits"]
    assert f" {report['origin']}\n" in found
    for written in ("data/raw", "data/processed"):
        shutil.rmtree(folder / written)


def test_the_pages_keep_own_data_where_changes_are_noticed():
    pages = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md")), *sorted((TOP / "presets").glob("*.yaml"))]
    found = [name for page in pages for name in re.findall(r"data/own/([\w.-]+)", page.read_text())]
    depended_on = {path.parent.name for path in (TOP / "data/own").glob("*/.gitkeep")}
    assert found and set(found) <= depended_on == {*ITEMS, "weights"}


def test_there_is_an_example_for_every_kind_of_source():
    text = " ".join(word for command in COMMANDS for word in command)
    kinds = {"folder": "data/own/images/animals", "table": "answers.csv", "file": "book.txt", "jsonl": "notes.jsonl"}
    for kind in (kind for item in ITEMS.values() for kind in item.own):
        assert f"{kind}:" in text or kinds[kind] in text, kind
