"""Which attacks a stored result was made with: a digest of their code, without comments and docstrings."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DECIDING = (
    *(f"attacks/{name}.py" for name in ("asked", "evaluate", "split", "stats", "suite", "threat")),
    *(f"attacks/{name}.py" for name in ("compiled", "compiled_trees", "kernels", "sizes")),
    *(f"attacks/{folder}/*.py" for folder in ("disclosure", "membership", "reidentification")),
    "attacks/guarantee/one_run.py", "benchmarks/attacks_outputs.py", "tests/attacks/known_leaks.py",
)  # fmt: skip
"""What decides scores, p-values and bounds of the benchmark's runs, and its planted outputs; not the generators."""


def digest() -> str:
    """Twelve hexadecimal digits; the same for the same code, however it is commented."""
    files = sorted({path for pattern in DECIDING for path in ROOT.glob(pattern)})
    if len(files) < len(DECIDING):
        raise ValueError("the attacks are not where this list says")
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path.relative_to(ROOT).as_posix()}\n{_bare(path.read_text())}\n".encode())
    return found.hexdigest()[:12]


def _bare(source: str) -> str:
    """The syntax tree, its docstrings taken out."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
