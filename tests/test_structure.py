"""The rules of the structure: imports go one way, and `dvc.yaml` tells the truth about what a stage reads."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks.code_graph import KINDS, TOP, code_of, direct_imports, mean_reruns, reruns, stages
from quartet.families import FAMILIES

LEVELS = [
    {"params"},
    {"artifacts"},
    {"datasets", "layers"},
    {"tracking", "reporting"},
    {"training"},
    {"classification"},
    {"images", "sequences", "language", "text_to_image"},
    {"families"},
    {"settings"},
    {"commands"},
    {"__main__"},
]
LEVEL_OF = {package: level for level, packages in enumerate(LEVELS) for package in packages}
# Between packages of one level: the judge of drawn pictures is an image classifier.
EDGES = {("text_to_image", "images")}
SOURCES = sorted((TOP / "quartet").rglob("*.py"))
GRAPH = stages()


def package_of(path):
    return path.relative_to(TOP / "quartet").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(TOP).as_posix())
def test_imports_go_down_only(path):
    own = package_of(path)
    if own == "__init__":
        return
    for imported in direct_imports(path):
        place = imported.relative_to(TOP).as_posix()
        assert place.startswith("quartet/"), f"{path} imports {imported}"
        other = package_of(imported)
        if other not in ("__init__", own) and (own, other) not in EDGES:
            assert LEVEL_OF[other] < LEVEL_OF[own], f"{path} imports {imported}"


def test_stages_never_import_stages():
    for path in (TOP / "stages").glob("*.py"):
        assert not [p for p in direct_imports(path) if "stages" in p.parts and p.name != "__init__.py"]


@pytest.mark.parametrize(("library", "package"), [("mlflow", "tracking"), ("matplotlib", "reporting")])
def test_one_package_imports_the_library(library, package):
    for path in SOURCES:
        names = [
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        ]
        if any(name.split(".")[0] == library for name in names):
            assert package_of(path) == package, path


def test_code_is_loaded_by_name_through_the_tables_of_families_alone():
    """And tracking loads the class that answers for a served model, whose name it is handed."""
    known = {"settings.py", "training/run.py", "tracking/runs.py", "tracking/served_model.py"}
    known |= {"commands/inspect.py", "commands/plan/command.py", "commands/predict.py", "commands/summary.py"}
    using = {path.relative_to(TOP / "quartet").as_posix() for path in SOURCES if "resolve_name(" in path.read_text()}
    assert using == known
    assert not [path for path in SOURCES if "import_module(" in path.read_text()]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(TOP).as_posix())
def test_no_code_asks_which_family_it_serves(path):
    keys = "|".join(FAMILIES)
    asked = re.findall(rf'\b(?:family|key|name)(?:\.key|\.value)? (?:==|!=|in) [("]*(?:{keys})"', path.read_text())
    assert not asked


@pytest.mark.parametrize("stage", GRAPH, ids=lambda stage: stage.name)
def test_a_stage_depends_on_the_code_that_it_imports(stage):
    missing = [path for path in code_of(stage) if not stage.reads(path)]
    assert not missing


@pytest.mark.parametrize("stage", GRAPH, ids=lambda stage: stage.name)
def test_a_stage_depends_on_no_other_code(stage):
    """A file must be read by the stage or by another item of its group, a folder nearly as a whole."""
    group = stage.name.partition("@")[0]
    code = {path for other in GRAPH if other.name.partition("@")[0] == group for path in code_of(other)}
    templates = {path.relative_to(TOP).as_posix() for path in (TOP / "quartet").rglob("*.jinja")}
    code |= {name for name in templates if Path(name).name in "".join((TOP / path).read_text() for path in code)}
    for dep in stage.deps:
        if dep.startswith(("quartet/", "stages/")) and not (TOP / dep).is_dir():
            assert dep in code, dep
        elif dep.startswith("quartet/"):
            inside = {path.relative_to(TOP).as_posix() for path in (TOP / dep).rglob("*.py")}
            inside = {path for path in inside if not path.endswith("__init__.py")}
            lines = {path: len((TOP / path).read_text().splitlines()) for path in inside}
            used = sum(count for path, count in lines.items() if path in code)
            assert used >= 0.4 * sum(lines.values()), dep


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("quartet/language/networks/decoder.py", {"train-lm", "evaluate@lm", "report"}),
        ("quartet/text_to_image/networks/unet.py", {"train-diffusion", "evaluate@diffusion", "report"}),
        (
            "quartet/layers/attention.py",
            {"train-lm", "train-diffusion", "evaluate@lm", "evaluate@diffusion", "report"},
        ),
        ("quartet/language/evaluation.py", {"evaluate@lm", "report"}),
        ("quartet/sequences/evaluation.py", {"evaluate@rnn", "report"}),
        ("quartet/images/evaluation.py", {"evaluate@cnn", "evaluate@diffusion", "report"}),
        ("quartet/text_to_image/sheets.py", {"evaluate@diffusion", "report"}),
        ("quartet/reporting/page/html_report.py", {"report"}),
        ("quartet/tracking/recorder.py", set()),
        ("quartet/commands/draw.py", set()),
        ("quartet/families.py", set()),
    ],
)
def test_a_changed_file_reruns_what_depends_on_it_and_nothing_else(path, expected):
    assert (TOP / path).exists() and reruns(path, GRAPH) == expected


def test_a_line_of_code_reruns_few_stages():
    mean = mean_reruns(KINDS)
    assert mean["downloads"] <= 0.75 and mean["trainings"] <= 1.6 and mean["evaluations"] <= 1.95


def test_the_graph_is_short():
    assert len((TOP / "dvc.yaml").read_text().splitlines()) <= 360
    # Of these, 100 are those of the stage that brings weights, and of the trainings that depend on it.
    assert len((TOP / "dvc.lock").read_text().splitlines()) <= 1620


def test_no_drawers():
    assert not [p for p in SOURCES if p.stem in {"utils", "common", "helpers", "misc", "base"}]


def test_no_pickle():
    """Published weights are files of torch, which reads nothing but tensors from them."""
    for path in SOURCES:
        text = path.read_text()
        if path.name == "trained_weights.py":
            assert text.count("torch.load(path, weights_only=True)") == text.count("torch.load(") == 2
            continue
        assert "torch.load(" not in text and "import pickle" not in text and "joblib" not in text, path
