"""The house rules: imports go one way, and `dvc.yaml` lists the code that its stages import."""

import ast
from pathlib import Path

import pytest
from code_imports import TOP, code_dependencies, direct_imports
from ruamel.yaml import YAML

LEVELS = [
    {"params"},
    {"artifacts"},
    {"datasets", "networks"},
    {"serving"},
    {"training", "tracking", "reporting"},
    {"evaluation"},
    {"commands"},
]
LEVEL_OF = {package: level for level, packages in enumerate(LEVELS) for package in packages}
# What MLflow runs as a script stands above the networks that it asks, like everything in tracking.
SOURCES = sorted((TOP / "quartet").rglob("*.py"))


def package_of(path):
    parts = path.relative_to(TOP / "quartet").parts
    return parts[0] if len(parts) > 1 else None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(TOP).as_posix())
def test_imports_go_down_only(path):
    own = package_of(path)
    if own is None:
        return
    for imported in direct_imports(path):
        other = package_of(imported) if (TOP / "quartet") in imported.parents else "stages"
        if other not in (None, own):
            assert other != "stages", f"{path} imports a stage"
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


def stage_blocks():
    stages = YAML(typ="safe").load((TOP / "dvc.yaml").read_text())["stages"]
    for name, block in stages.items():
        block = block.get("do", block)
        script = block["cmd"].split()[2].removeprefix("stages.")
        yield pytest.param(script, block, id=name)


@pytest.mark.parametrize(("script", "block"), stage_blocks())
def test_dvc_yaml_lists_exactly_the_code_that_a_stage_imports(script, block):
    code = code_dependencies(TOP / "stages" / f"{script}.py")
    assert {dep for dep in block["deps"] if dep.endswith(".py")} == code
    templates = {path.relative_to(TOP).as_posix() for path in (TOP / "quartet").rglob("*.jinja")}
    used = {name for name in templates if Path(name).name in "".join((TOP / path).read_text() for path in code)}
    assert {dep for dep in block["deps"] if dep.endswith(".jinja")} == used


def test_no_drawers():
    assert not [p for p in SOURCES if p.stem in {"utils", "common", "helpers", "misc", "base"}]


def test_no_pickle():
    for path in SOURCES:
        text = path.read_text()
        assert "torch.load(" not in text and "import pickle" not in text and "joblib" not in text, path
