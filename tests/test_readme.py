"""The README tells the truth: its settings, files and commands exist."""

import dataclasses
import functools
import json
import re
import subprocess
import sys

from benchmarks.code_graph import TOP
from benchmarks.images import REFERENCE
from quartet.params import read_params
from quartet.params.fields import every_setting
from quartet.params.table import settings_table

README = (TOP / "README.md").read_text()
PAGES = [README, *(page.read_text() for page in sorted((TOP / "docs").glob("*.md")))]
COMMANDS = [
    line.split("#")[0].strip()
    for page in PAGES
    for block in re.findall(r"```sh\n(.*?)```", page, re.S)
    for line in block.replace("\\\n", " ").splitlines()
]


def test_the_settings_table_is_the_generated_one():
    assert settings_table() in README


def test_every_file_is_named_and_every_named_file_exists():
    section = README.split("## Where things are")[1].split("\n## ")[0]
    for folder in re.findall(r"^\| `(quartet/\w+/)`", section, re.M):
        row = next(line for line in section.splitlines() if f"`{folder}`" in line)
        named = set(re.findall(r"`(\w+\.py)`", row))
        existing = {path.name for path in (TOP / folder).glob("*.py")} - {"__init__.py"}
        assert named == existing, folder
    for stage in (TOP / "stages").glob("[a-z]*.py"):
        assert stage.stem in section


def test_make_targets_exist():
    makefile = (TOP / "Makefile").read_text()
    for command in COMMANDS:
        if command.startswith("make "):
            assert f"\n{command.split()[1]}: " in makefile


def test_settings_in_commands_exist():
    names = {name for name, *_ in every_setting()}
    used = [setting for command in COMMANDS for setting in re.findall(r"(?:-S |search .*?)(\w+\.[\w.]+)=", command)]
    assert used and set(used) <= names


def test_the_textbooks_commands_train_as_its_benchmark_does(tmp_path):
    commands = [line for line in COMMANDS if "train_cnn.network=reference" in line]
    assert [re.search(r"download.images=(\w+)", line)[1] for line in commands] == ["mnist", "gtsrb"]
    for line in commands:
        told: dict = {}
        for name, value in re.findall(r"-S ([\w.]+)=(\S+)", line):
            *sections, key = name.split(".")
            functools.reduce(lambda part, section: part.setdefault(section, {}), sections, told)[key] = value
        text = json.dumps(told).replace('"', "")  # YAML of numbers and words
        (tmp_path / "params.yaml").write_text(text)
        found = read_params(tmp_path / "params.yaml")
        assert (found.preprocess.images.size, found.preprocess.images.channels, found.train_cnn.epochs) == (48, 3, 5)
        ours = dataclasses.replace(found.train_cnn, epochs=None, validate_every=REFERENCE.validate_every)
        assert ours == REFERENCE


def test_commands_exist():
    shown = subprocess.run([sys.executable, "-m", "quartet", "--help"], cwd=TOP, capture_output=True, text=True).stdout
    used = {command for line in COMMANDS for command in re.findall(r"python -m quartet (\w+)", line)}
    assert {"classify", "generate", "draw", "runs", "promote", "search"} <= used
    assert all(f" {command} " in shown for command in used)


def test_links_between_pages_lead_somewhere():
    for page, folder in [(TOP / "README.md", TOP), *((path, TOP / "docs") for path in (TOP / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (folder / link).exists(), f"{page}: {link}"


def test_every_script_has_help():
    scripts = [f"stages.{path.stem}" for path in (TOP / "stages").glob("[a-z]*.py")]
    for script in [*scripts, "quartet"]:
        done = subprocess.run([sys.executable, "-m", script, "--help"], cwd=TOP, capture_output=True, text=True)
        assert done.returncode == 0 and "Usage" in done.stdout, script


def test_the_settings_command_prints_the_table():
    done = subprocess.run([sys.executable, "-m", "quartet", "settings"], cwd=TOP, capture_output=True, text=True)
    assert done.stdout == settings_table()
    assert read_params(TOP / "params.yaml").seed == 0
