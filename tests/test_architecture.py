"""Rules that keep the code base easy to change: layers, light imports, sizes, docstrings."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from mo_hpc.core import checks, config, design, registry, schema
from mo_hpc.core.record import Record
from mo_hpc.core.task import TaskSpec

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "mo_hpc"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60

MAY_IMPORT = {
    "core": set(),
    "container": {"core"},
    "data": {"core"},
    "grid": {"core"},
    "metrics": {"core"},
    "plan": {"core", "data", "grid"},
    "executors": {"core", "container", "data", "grid", "metrics", "plan"},
    "training": {"core", "data", "grid", "metrics", "plan"},
    "analysis": {"core", "data", "grid", "metrics", "plan"},
    "regression": {"core", "data", "grid", "metrics", "plan"},
    "checks": {"core", "data", "labelling", "training"},
    "labelling": {"core", "data", "plan", "training"},
    "exports": {"core", "data", "metrics", "training"},
    "watch": {"core", "plan", "executors"},
    "selfchecks": {"core", "data", "metrics", "plan", "executors", "training"},
}
"""Layer → what it may import beside itself; the entry modules on top may import all."""

HEAVY = {"torch", "mace", "ase", "pandas", "numpy", "matplotlib", "e3nn", "scipy"}


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_entry(path: Path) -> bool:
    """Whether people run it; a module deeper down may be the program of a child process."""
    at_the_door = path.parent == PACKAGE or path.name == "__main__.py"
    return at_the_door and 'if __name__ == "__main__":' in path.read_text()


def layer_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else None


def entry_commands() -> list[str]:
    return [module_name(path).removesuffix(".__main__") for path in MODULES if is_entry(path)]


def imported_modules(path: Path) -> Iterator[str]:
    """Every module of the package that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def definitions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef, bool]]:
    """(dotted name, node, public) of functions, classes and methods; nested functions left out."""

    def inside(node: ast.Module | ast.ClassDef, prefix: str, public: bool):
        for child in node.body:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                seen = public and not child.name.startswith("_")
                yield f"{prefix}.{child.name}", child, seen
                if isinstance(child, ast.ClassDef):
                    yield from inside(child, f"{prefix}.{child.name}", seen)

    yield from inside(ast.parse(path.read_text()), module_name(path), True)


def own_lines(node: ast.AST, docstring: str | None) -> int:
    """Lines of a definition without its docstring."""
    return node.end_lineno - node.lineno + 1 - (docstring or "").count("\n") - bool(docstring)


# -- layers ---------------------------------------------------------------------------


def test_every_package_is_a_known_layer():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(MAY_IMPORT)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_down_only(path):
    layer = layer_of(module_name(path))
    if layer is None or path.name == "__main__.py":
        return
    allowed = MAY_IMPORT[layer] | {layer}
    upward = [
        name
        for name in imported_modules(path)
        if name.startswith("mo_hpc.") and (layer_of(name) or "an entry module") not in allowed
    ]
    upward = [name for name in upward if name not in {"mo_hpc.__version__", "mo_hpc.__file__"}]
    assert not upward, f"{path.relative_to(REPOSITORY)} imports {upward}; {layer} may not"


def docstrings(tree: ast.Module) -> set[int]:
    """Identities of the nodes that are docstrings, of modules, definitions and attributes."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def names_in_code(path: Path) -> Iterator[str]:
    """String literals, parts of f-strings among them, that are neither docstring nor prose."""
    tree = ast.parse(path.read_text())
    prose = docstrings(tree)
    for node in ast.walk(tree):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if literal and id(node) not in prose and not re.search(r"\s", node.value):
            yield node.value


def test_run_directory_names_are_known_to_one_module_only():
    home = PACKAGE / "core" / "paths.py"
    known = {name for name in names_in_code(home) if re.fullmatch(r"\w+\.\w+", name)}
    assert {"manifest.json", "metrics.json", "running.lock", "report.html"} <= known
    used = {
        f"{path.relative_to(REPOSITORY)}: {literal}"
        for path in MODULES
        if path != home
        for literal in names_in_code(path)
        if any(name in literal for name in {*known, "tasks/", "attempts/", "checkpoints/"})
    }
    assert used == set(), "take it from core/paths.py"


# -- light imports --------------------------------------------------------------------


def heavy_modules_after(program: str) -> list[str]:
    """Runs a program in a fresh interpreter and returns the heavy packages it imported."""
    tail = (
        "\nimport json, sys"
        f"\nprint(json.dumps(sorted({HEAVY!r} & {{name.split('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program + tail],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "module",
    ["mo_hpc.launch", "mo_hpc.status", "mo_hpc.collect", "mo_hpc.nightly", "mo_hpc.doctor"],
)
def test_commands_import_nothing_heavy(module):
    assert heavy_modules_after(f"import {module}") == []


@pytest.mark.parametrize("module", entry_commands())
def test_help_imports_nothing_heavy_and_explains_the_command(module):
    program = (
        "import contextlib, io, runpy, sys\n"
        f"sys.argv = ['{module}', '--help']\n"
        "shown = io.StringIO()\n"
        "try:\n"
        "    with contextlib.redirect_stdout(shown):\n"
        f"        runpy.run_module('{module}', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"assert '{module}' in shown.getvalue(), shown.getvalue()\n"
        "assert max(map(len, shown.getvalue().splitlines())) <= 80, shown.getvalue()\n"
    )
    assert heavy_modules_after(program) == []


def test_all_entries_are_found():
    assert {"mo_hpc.launch", "mo_hpc.status", "mo_hpc.collect", "mo_hpc.worker", "mo_hpc.data"} <= (
        set(entry_commands())
    )


# -- sizes and docstrings -------------------------------------------------------------


def test_modules_are_short():
    lines = {module_name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: n for name, n in lines.items() if n > MAX_MODULE_LINES} == {}


def test_functions_are_short():
    lengths = {
        name: own_lines(node, ast.get_docstring(node))
        for path in MODULES
        for name, node, _ in definitions(path)
        if not isinstance(node, ast.ClassDef)
    }
    assert {name: n for name, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}


def test_public_names_and_modules_have_docstrings():
    missing = [
        name
        for path in MODULES
        for name, node, public in definitions(path)
        if public and ast.get_docstring(node) is None
    ]
    missing += [
        module_name(path)
        for path in MODULES
        if ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert missing == []


# -- registries and configuration files -----------------------------------------------

REGISTRIES = {
    name: value
    for name, value in vars(registry).items()
    if name.isupper() and isinstance(value, dict) and value is not registry.TASK_KINDS
}


@pytest.mark.parametrize(
    ("registry_name", "name"),
    [(registry_name, name) for registry_name, entries in REGISTRIES.items() for name in entries],
)
def test_registered_parts_exist(registry_name, name):
    assert callable(registry.load(REGISTRIES[registry_name], registry_name, name))


@pytest.mark.parametrize("kind", registry.TASK_KINDS)
def test_the_parts_of_a_task_kind_exist(kind):
    parts = registry.task_kind(kind)
    assert issubclass(registry.imported(parts.task), TaskSpec)
    assert issubclass(registry.imported(parts.record), Record)
    assert callable(registry.imported(parts.planner))
    assert callable(registry.imported(parts.runner))


def choices(model: type[schema.Strict], field: str) -> set[str]:
    """The values of a Literal field."""
    return set(get_args(model.model_fields[field].annotation))


def test_registries_offer_what_the_schema_accepts():
    assert choices(schema.ExecutorConfig, "name") == set(registry.EXECUTORS)
    assert choices(schema.DatasetConfig, "reader") == set(registry.READERS)
    assert choices(schema.SplitConfig, "protocol") == set(registry.SPLITTERS)
    assert set(get_args(checks.CheckName)) == set(registry.CHECKS) == set(checks.ACTING)
    assert choices(schema.StageConfig, "kind") == set(registry.TASK_KINDS)


SCHEMAS = {
    "dataset": schema.DatasetConfig,
    "foundation": schema.FoundationConfig,
    "model": schema.ModelConfig,
    "train": schema.TrainConfig,
    "executor": schema.ExecutorConfig,
    "site": schema.SiteConfig,
    "retry": schema.RetryConfig,
    "design": design.DesignConfig,
    "vasp": design.VaspConfig,
}


def named_configs() -> list[tuple[str, str]]:
    return [(group, name) for group in SCHEMAS for name in config.names(group)]


def test_every_configuration_folder_is_covered():
    folders = {path.name for path in config.configs_folder().iterdir() if path.is_dir()}
    assert folders == set(SCHEMAS) | {"grid"}
    for folder in folders:
        assert config.names(folder), f"configs/{folder} is empty"


@pytest.mark.parametrize(("group", "name"), named_configs(), ids=lambda part: part)
def test_configuration_file_validates_and_is_named_as_its_file(group, name):
    written = config.load_named(group, name)
    written.pop("defaults", None)
    document = schema.validated(SCHEMAS[group], written, where=f"configs/{group}/{name}.yaml")
    assert getattr(document, "preset" if group == "train" else "name") == name


@pytest.mark.parametrize("name", config.names("grid"))
def test_grid_composes_and_validates(name):
    document, _ = config.compose([f"grid={name}"])
    composed = schema.validated(schema.RunConfig, document, where=f"grid={name}")
    assert composed.grid.name == name
    assert composed.grid.description


def test_generators_of_datasets_are_registered():
    for name in config.names("dataset"):
        generator = config.dataset_config(name).generator
        assert generator is None or generator in registry.GENERATORS


# -- text -----------------------------------------------------------------------------


def repository_texts() -> Iterator[tuple[Path, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        path = REPOSITORY / name
        if path.is_file() and path.suffix not in {".png", ".pdf", ".svg", ".npz"}:
            yield path, path.read_text()


def test_no_text_names_a_place_that_only_one_machine_has():
    """Such as absolute folders of a workplace and hosts of package indices."""
    folders = "|".join(("ro" + "ot", "wo" + "rk", "opt/wheels", "opt/pypi"))
    hosts = "|".join(("py" + r"pi\.org", "pytho" + r"nhosted", "anacon" + r"da\.(org|com)"))
    pattern = re.compile(rf"(?<![\w.~}}*-])/({folders})/\w|{hosts}")
    found = {
        f"{path.relative_to(REPOSITORY)}: {match.group()}"
        for path, text in repository_texts()
        for match in pattern.finditer(text)
    }
    assert found == set()


def test_only_the_ci_and_the_fixtures_look_beside_the_checkout():
    allowed = {REPOSITORY / ".ci" / "run", REPOSITORY / "tests" / "conftest.py"}
    beside = re.compile(r"\.\./shar" + "ed|beside/shar" + "ed")
    found = [
        path for path, text in repository_texts() if path not in allowed and beside.search(text)
    ]
    assert found == []
