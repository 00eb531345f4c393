"""README and docs tell the truth: their commands, settings, files, links and figures exist."""

import itertools
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from typer.testing import CliRunner

from benchmarks.code_graph import KINDS, TOP, mean_reruns
from quartet.__main__ import app
from quartet.commands.search import ranges
from quartet.commands.use import parse
from quartet.families import FAMILIES
from quartet.params.fields import every_setting
from quartet.params.table import settings_page
from quartet.settings import preset_names, schema

PAGES = {
    path: path.read_text()
    for path in (TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md")))
}
README = PAGES[TOP / "README.md"]
COMMANDS = [
    line.split("#")[0].strip()
    for page in PAGES.values()
    for block in re.findall(r"```sh\n(.*?)```", page, re.S)
    for line in block.replace("\\\n", " ").splitlines()
]
INLINE = [
    code for page in PAGES.values() for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.S))
]
SETTINGS = {setting.name: setting for setting in every_setting(schema())}


def test_the_front_door_is_short():
    assert len(README.splitlines()) <= 160


def test_the_page_of_settings_is_the_generated_one():
    assert (
        (TOP / "docs/settings.md").read_text()
        == settings_page(schema())
        == CliRunner().invoke(app, ["settings"]).output
    )


def test_the_tree_names_every_package_and_nothing_else():
    tree = README.split("## Where things are")[1].split("```")[1]
    named = set(re.findall(r"^(quartet/\w+)/? ", tree, re.M)) | set(re.findall(r"^(quartet/\w+\.py)", tree, re.M))
    packages = {f"quartet/{path.parent.name}" for path in TOP.glob("quartet/*/__init__.py")}
    assert named == packages | {"quartet/families.py", "quartet/settings.py"}


def test_make_targets_exist():
    makefile = (TOP / "Makefile").read_text()
    for command in (*COMMANDS, *INLINE):
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in makefile, command


def test_settings_in_commands_exist_and_their_values_are_allowed():
    used, searched = [], []
    for command in (*COMMANDS, *INLINE):
        words = shlex.split(command) if command in COMMANDS else command.split()
        for before, word in itertools.pairwise(words):
            if before in ("-S", "--with") and "=" in word and "$" not in word and not word.startswith("NAME="):
                name, _, values = word.replace('"', "").partition("=")
                is_text = SETTINGS[name].takes_only(str)
                used += [f"{name}={value}" for value in ([values] if is_text else values.split(","))]
        if "quartet search" in command:
            searched += [word for word in words if re.match(r"train_\w+\.", word)]
    assert len(used) > 10 and len(searched) > 2
    for name, value in (parse(word, SETTINGS) for word in used):
        assert SETTINGS[name].rule.accepts(value, SETTINGS[name].annotation), f"{name}={value}"
    for word in searched:
        ranges.parse([word], FAMILIES[re.match(r"train_(\w+)\.", word)[1]])


def test_settings_named_in_prose_exist():
    named = {
        code
        for code in INLINE
        if re.fullmatch(r"(train_\w+|evaluate|preprocess|download|runtime)\.[\w.]+(: .*)?", code)
    }
    sections = {name.rpartition(".")[0] for name in SETTINGS}
    assert named and not [code for code in named if code.split(":")[0] not in {*SETTINGS, *sections}]


def test_presets_in_pages_exist_and_every_preset_is_named_in_one():
    used = {
        word for command in COMMANDS for word in re.findall(r"quartet use ((?:[a-z][\w-]*)(?: [a-z][\w-]*)*)", command)
    }
    assert {name for names in used for name in names.split()} <= set(preset_names())
    pages = "".join(PAGES.values())
    assert not [name for name in preset_names() if f"`{name}`" not in pages]


def test_commands_and_their_options_exist():
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for command in COMMANDS:
        for name, rest in re.findall(r"python -m quartet ([\w-]+)([^|>&]*)", command):
            assert f" {name} " in shown, command
            help_text = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
            for option in re.findall(r" (--[\w-]+)", rest):
                assert option in help_text, command


def test_files_named_in_pages_exist():
    for code in INLINE:
        if re.fullmatch(r"(quartet|stages|tests|benchmarks|docs|presets)/[\w./-]+", code) and "NAME" not in code:
            assert (TOP / code).exists(), code


def test_modules_that_are_run_exist():
    for command in (*COMMANDS, *INLINE):
        for module in re.findall(r"python -m ((?:benchmarks|stages)\.\w+)", command):
            assert (TOP / f"{module.replace('.', '/')}.py").exists(), command


def test_links_between_pages_lead_somewhere():
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_every_page_of_docs_is_linked_from_another():
    for page in (TOP / "docs").glob("*.md"):
        assert any(f"{page.name})" in text for other, text in PAGES.items() if other != page), page.name


def test_no_page_names_what_a_reader_lacks():
    assert not [page for page, text in PAGES.items() if "../shared" in text]


def test_the_figures_of_the_code_graph_are_those_of_the_script():
    mean = mean_reruns(KINDS)
    for kind in ("trainings", "evaluations", "downloads"):
        (row,) = re.findall(rf"\|[^|]*\| {kind}[^|]*\| ([\d.]+) \|", (TOP / "docs/results.md").read_text())
        assert float(row) == pytest.approx(mean[kind], abs=0.05)


def test_every_script_has_help_and_says_so_quickly():
    """In a process of its own: an import of torch would take seconds."""
    for script in [*(f"stages.{path.stem}" for path in (TOP / "stages").glob("[a-z]*.py")), "quartet"]:
        command = [sys.executable, "-X", "importtime", "-m", script, "--help"]
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
        assert done.returncode == 0 and "Usage" in done.stdout, script
        assert not re.search(r"\| +(torch|mlflow|pandas|matplotlib)$", done.stderr, re.M), script


def test_every_dependency_has_its_reason():
    lines = (TOP / "pyproject.toml").read_text().splitlines()
    for line in lines:
        if re.match(r'    "[\w.\[\],-]+[>=]', line):
            assert re.search(r"# \w+", line), line
    project = tomllib.loads("\n".join(lines))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    pinned = {re.split(r"[=\[ ]", line)[0].lower().replace("_", "-") for line in (TOP / "requirements.txt").open()}
    assert not [name for name in wanted if re.split(r"[>=\[ ]", name)[0].lower() not in pinned]
