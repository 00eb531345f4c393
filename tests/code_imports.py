"""Which project files a file imports, directly and through others, imports inside functions included."""

import ast
from pathlib import Path

TOP = Path(__file__).parents[1]


def direct_imports(path: Path) -> set[Path]:
    """The project files that `path` imports, `if TYPE_CHECKING` blocks aside."""
    found: set[Path] = set()
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            file = TOP / (name.replace(".", "/") + ".py")
            package = TOP / name.replace(".", "/") / "__init__.py"
            found |= {candidate for candidate in (file, package) if candidate.exists()}
    return found


def all_imports(path: Path) -> set[Path]:
    """The transitive closure of `direct_imports`, `path` itself included."""
    closed: set[Path] = set()
    open_files = {path}
    while open_files:
        file = open_files.pop()
        closed.add(file)
        open_files |= direct_imports(file) - closed
    return closed


def code_dependencies(script: Path) -> set[str]:
    """Project files that can change a stage's output: all it imports, but `tracking/` and bare `__init__.py`."""
    return {
        path.relative_to(TOP).as_posix()
        for path in all_imports(script)
        if "tracking" not in path.relative_to(TOP).parts
        and not (path.name == "__init__.py" and not direct_imports(path))
    }
