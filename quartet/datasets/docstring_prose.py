"""English prose from the docstrings of the installed scikit-learn, scipy, numpy and pandas.

The source files are parsed, not imported. Code, tables, directives and vendored packages are left out. So are sentences
that share five consecutive words with an earlier one: docstrings repeat themselves so much that a model would know
much of the test text from training.
"""

import ast
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {"sklearn": "scikit-learn", "scipy": "scipy", "numpy": "numpy", "pandas": "pandas"}
SHINGLE = 5

_LEFT_OUT = {"tests", "externals", "_vendor", "vendored", "_external", "array_api_extra", "array_api_compat", "_lib"}
_UNDERLINE = re.compile(r"^\s*([=\-~^#*+\"'`])\1{2,}\s*$")
_TABLE = re.compile(r"^\s*(=+\s+=+|\+[-=+]+\+|\|.*\|)\s*")
_PARAMETER = re.compile(r"^\s*[\w*\\.,{}\[\] ]{1,60}\s:(\s|$)")
_DIRECTIVE = re.compile(r"^\s*\.\. ")
_ROLE = re.compile(r":(?:[a-zA-Z]+:)+`~?\.?([^`<]*?)(?:\s*<[^`]*>)?`")
_LINK = re.compile(r"`([^`<]+?)\s*<[^`>]*>`_*")
_FOOTNOTE = re.compile(r"\s*\[[\w#]+\]_")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(`])")
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Prose:
    """Cleaned text per documented object, and counts of what cleaning kept and removed."""

    passages: list[tuple[str, str]]  # (object's dotted name, text)
    versions: dict[str, str]
    objects_found: int
    sentences_kept: int
    sentences_repeated: int


def docstring_prose() -> Prose:
    """Read, clean and deduplicate the docstrings; the same installed versions give the same text."""
    seen: set[tuple[str, ...]] = set()
    passages, found, kept, repeated = [], 0, 0, 0
    for name, docstring in _docstrings():
        found += 1
        paragraphs = []
        for paragraph in prose_paragraphs(docstring):
            fresh = []
            for sentence in _SENTENCE.split(paragraph):
                words = _WORD.findall(sentence.lower())
                if len(words) < SHINGLE:
                    # Shorter than a shingle: compare the whole sentence.
                    shingles = {tuple(words)}
                else:
                    shingles = {tuple(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}
                if seen.isdisjoint(shingles):
                    fresh.append(sentence)
                seen |= shingles
                kept, repeated = (kept + 1, repeated) if fresh and fresh[-1] is sentence else (kept, repeated + 1)
            if fresh:
                paragraphs.append(" ".join(fresh))
        if paragraphs:
            passages.append((name, "\n".join(paragraphs)))
    versions = {distribution: importlib.metadata.version(distribution) for distribution in PACKAGES.values()}
    return Prose(passages, versions, found, kept, repeated)


def prose_paragraphs(docstring: str) -> Iterator[str]:
    """The paragraphs of English prose in a docstring, one line each."""
    lines = docstring.expandtabs().splitlines()
    block: list[str] = []
    skip_deeper_than: int | None = None
    for number, line in enumerate([*lines, ""]):
        indent = len(line) - len(line.lstrip())
        if skip_deeper_than is not None:
            if not line.strip() or indent > skip_deeper_than:
                continue
            skip_deeper_than = None
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if _DIRECTIVE.match(line):
            skip_deeper_than = indent
        ends_paragraph = (
            not line.strip()
            or _UNDERLINE.match(line)
            or _UNDERLINE.match(following)
            or _TABLE.match(line)
            or _PARAMETER.match(line)
            or _DIRECTIVE.match(line)
        )
        if not ends_paragraph:
            block.append(line)
            if line.rstrip().endswith("::"):
                skip_deeper_than = indent
            continue
        text = _clean(block)
        if text:
            yield text
        block = []


def _clean(block: list[str]) -> str:
    """Join a paragraph's lines into one line of prose; empty if they are code, a formula or a list of names."""
    if not block or any(line.lstrip().startswith((">>>", "...", "In [", "$ ")) for line in block):
        return ""
    text = " ".join(" ".join(line.split()) for line in block)
    text = _ROLE.sub(r"\1", text)
    text = _LINK.sub(r"\1", text)
    text = _FOOTNOTE.sub("", text)
    text = text.replace("``", "`").replace("**", "").removesuffix("::").removeprefix("- ").removeprefix("* ").strip()
    if re.search(r"\\[a-zA-Z]{2,}|[{}$]|https?:|^\[\d", text) or not text.isascii():
        return ""
    letters = sum(character.isalpha() or character == " " for character in text)
    words = text.split()
    ends_well = text[-1:] in ".!?:"
    return text if len(words) >= 4 and letters / len(text) > 0.85 and ends_well else ""


def _docstrings() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        specification = importlib.util.find_spec(package)
        if specification is None or specification.origin is None:
            raise ValueError(f"{package} is not installed; the text source `docstrings` needs it. Run `make setup`")
        root = Path(specification.origin).parent
        for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
            relative = path.relative_to(root)
            if not _LEFT_OUT.intersection(relative.parts):
                module = ".".join([package, *relative.with_suffix("").parts])
                yield from _docstrings_in(ast.parse(path.read_text(encoding="utf-8")), module)


def _docstrings_in(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """Docstrings of the module, its classes and functions, and those that numpy adds with `add_newdoc`."""
    stack: list[tuple[str, ast.AST]] = [(module, tree)]
    while stack:
        name, node = stack.pop()
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                yield name, docstring
            children = [c for c in node.body if isinstance(c, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))]
            stack.extend((f"{name}.{child.name}", child) for child in reversed(children))
        if isinstance(node, ast.Module):
            yield from _added_docstrings(node, module)


def _added_docstrings(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    for statement in tree.body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or "newdoc" not in call.func.id:
            continue
        strings = [
            node.value for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        if strings:
            name = ".".join(text for text in strings[:2] if text.isidentifier())
            yield (
                f"{module}.{name}",
                ast.get_docstring(ast.Module([ast.Expr(ast.Constant(max(strings, key=len)))], [])) or "",
            )
