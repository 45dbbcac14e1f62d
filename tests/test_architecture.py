"""Who may import whom, read from the source: the house rules as a test."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A module may import from its own row and from rows below it.
LAYERS = [
    {"cli", "web", "__main__"},
    {""},
    {"pipeline"},
    {"preflight"},
    {"taken"},
    {"auditing", "guarantee", "unfinished", "releasing", "monitoring"},
    {"release", "evaluation", "consistency"},
    {"synthesizer", "augmenting"},
    {"fitting"},
    {"large", "spark"},
    {"spark_source"},
    {"spark_output"},
    {"synthesis", "discovering", "constraining", "prior"},
    {"mechanisms", "gan"},
    {"model", "model_files"},
    {"constraint_checks"},
    {"pgm"},
    {"privacy"},
    {"engines", "encoding", "allowed", "evidence", "constraints"},
    {"table", "draft", "draft_kinds", "demo_data"},
    {"project"},
    {"schema"},
    {"unit_columns"},
    {
        "calendar_days",
        "constraints_declared",
        "sequences_declared",
        "totals_declared",
        "conditions",
        "formulas",
        "ruled",
        "columns",
        "moments",
        "column_base",
        "declared",
        "discovery",
        "grid",
        "strict_yaml",
    },
    {
        "domain",
        "records",
        "unit_names",
        "addresses",
        "measurement",
        "persons",
        "workload",
        "budget",
        "entropy",
        "errors",
        "progress",
        "spark_problems",
        "spark_jobs",
        "spark_session",
        "versions",
        "threads",
        "compiling",
        "counting",
        "counting_loops",
        "counting_joints",
    },
]
RANK = {name: depth for depth, layer in enumerate(LAYERS) for name in layer}

ATTACKS_MAY_USE = {"schema", "domain", "records", "table", "encoding", "errors"}
HEAVY = {"torch", "opacus", "duckdb", "pyspark", "adbc_driver_postgresql"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names of everything a file imports, at any depth of nesting."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def room(dotted: str) -> str:
    """The top-level module inside dpsynth: 'dpsynth.privacy.noise.add' -> 'privacy'."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else ""


def room_of(path: Path) -> str:
    relative = path.relative_to(ROOT / "dpsynth")
    first = relative.parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def violations(package: str) -> list[str]:
    found = []
    for path in sources(package):
        for name in imported_modules(path):
            problem = check_import(package, path, name)
            if problem:
                found.append(f"{path.relative_to(ROOT)} imports {name}: {problem}")
    return found


def check_import(package: str, path: Path, name: str) -> str | None:  # noqa: PLR0911
    top = name.split(".")[0]
    if package == "attacks":
        if top == "dpsynth" and room(name) not in ATTACKS_MAY_USE:
            return "attacks know nothing of how synthesis works"
        return None
    here = room_of(path)
    if top == "attacks":
        return (
            None
            if here in {"pipeline", "auditing", "guarantee", "cli"}
            else "only the pipeline joins the two"
        )
    if top != "dpsynth":
        return None
    there = room(name)
    if there == "engines" and here not in {"engines", "privacy", "pipeline"}:
        return "only privacy counts rows"
    if there == "entropy" and here not in {"entropy", "privacy", "engines"}:
        return "secret bits belong to the trusted part"
    if there not in RANK:
        return f"{there!r} has no place in the layers yet"
    return None if RANK[there] >= RANK[here] else "imports go downwards only"


@pytest.mark.parametrize("package", ["dpsynth", "attacks"])
def test_imports_go_downwards_only(package: str) -> None:
    assert sources(package)
    assert violations(package) == []


@pytest.mark.parametrize(
    ("package", "path", "name"),
    [
        ("dpsynth", "dpsynth/mechanisms/mst.py", "dpsynth.engines.memory.MemoryEngine"),
        ("dpsynth", "dpsynth/pgm/estimation.py", "dpsynth.mechanisms.mst"),
        ("dpsynth", "dpsynth/release/writer.py", "dpsynth.entropy.system"),
        ("dpsynth", "dpsynth/evaluation/utility.py", "attacks.suite"),
        ("attacks", "attacks/suite.py", "dpsynth.model.FittedModel"),
    ],
)
def test_a_forbidden_import_would_be_seen(package: str, path: str, name: str) -> None:
    assert check_import(package, ROOT / path, name) is not None


def test_every_file_of_the_house_has_a_place() -> None:
    rooms = {room_of(path) for path in sources("dpsynth")}
    assert rooms <= set(RANK)


def test_no_pickle_no_eval_and_no_print() -> None:
    banned = {"eval", "exec", "print", "breakpoint"}
    for package in ("dpsynth", "attacks"):
        for path in sources(package):
            assert not {n.split(".")[0] for n in imported_modules(path)} & {
                "pickle",
                "dill",
                "joblib",
                "shelve",
            }, path
            if room_of(path) == "cli" if package == "dpsynth" else False:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in banned, f"{path}:{node.lineno}"


def test_importing_the_package_stays_light() -> None:
    code = f"import sys, dpsynth, attacks; print(sorted({HEAVY!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["dpsynth", "attacks"])
def test_files_and_functions_stay_readable(package: str) -> None:
    for path in sources(package):
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                docstring = ast.get_docstring(node, clean=False) or ""
                length = node.end_lineno - node.lineno + 1 - len(docstring.splitlines())
                assert length <= 50, f"{path}:{node.lineno} {node.name} has {length} lines"


def error_codes() -> Iterator[tuple[str, str]]:
    """(code, file:line) of every error raised with a literal code."""
    names = {
        "UsageError",
        "SchemaError",
        "DataError",
        "BudgetError",
        "AuditError",
        "VerifyError",
        "CapacityError",
    }
    for package in ("dpsynth", "attacks"):
        for path in sources(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                    first = node.args[0] if node.args else None
                    if isinstance(first, ast.Constant):
                        assert str(first.value).startswith(node.func.id[0]), f"{path}:{node.lineno}"
                        yield str(first.value), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_error_codes_belong_to_one_file() -> None:
    files: dict[str, set[str]] = {}
    for code, place in error_codes():
        files.setdefault(code, set()).add(place.split(":")[0])
    assert files
    assert {code: sorted(where) for code, where in files.items() if len(where) > 1} == {}
