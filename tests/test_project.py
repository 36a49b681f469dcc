"""The project files: the lock, the make targets, the README and the contributor's guide."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import mo_hpc
from mo_hpc.core.config import names
from mo_hpc.core.libraries import READING, TABLES, TRAINING

REPOSITORY = Path(__file__).parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [
    requirement
    for texts in (PROJECT["dependencies"], *EXTRAS.values())
    for requirement in map(Requirement, texts)
    if requirement.name != PROJECT["name"]  # an extra made of others
]
LOCK = [
    Requirement(line)
    for line in (REPOSITORY / "requirements.lock").read_text().splitlines()
    if not line.startswith("#")
]


def locked_versions() -> dict[str, Version]:
    versions = {}
    for requirement in LOCK:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{requirement} is not exact"
        versions[canonicalize_name(requirement.name)] = Version(specifier.version)
    return versions


def make_targets() -> set[str]:
    text = (REPOSITORY / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


def fenced_commands(document: str) -> list[str]:
    """Lines of the shell blocks of a Markdown file, without comments and printed output."""
    text = (REPOSITORY / document).read_text()
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


# -- lock -----------------------------------------------------------------------------


def test_lock_is_exact_sorted_and_without_duplicates():
    locked = [requirement.name.lower() for requirement in LOCK]
    assert locked == sorted(set(locked))
    assert not [version for version in locked_versions().values() if version.local]


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_lock_satisfies_the_declared_range(requirement):
    assert requirement.specifier.contains(locked_versions()[canonicalize_name(requirement.name)])


def test_lock_has_the_build_backend_because_setup_builds_without_isolation():
    assert "hatchling" in locked_versions()


def test_stack_is_the_tested_one():
    locked = locked_versions()
    expected = {"torch": "2.13.0", "mace-torch": "0.3.16", "e3nn": "0.4.4", "submitit": "1.5.4"}
    assert {name: str(locked[name]) for name in expected} == expected


def test_lock_pins_no_accelerator_packages():
    """torch brings those of its own build; a pin would break machines without a GPU."""
    prefixes = ("nvidia", "cuda", "triton")
    assert not [requirement.name for requirement in LOCK if requirement.name.startswith(prefixes)]


MAY_IMPORT_EXTRAS = {
    "train": {
        "training",
        "data",
        "metrics",
        "exports",
        "selfchecks",
        "checks",
        "labelling",
        "executors/checkup/probe.py",
    },
    "tables": {"analysis", "metrics", "regression"},
    "mpi": {"executors/mpi.py", "executors/processes", "selfchecks"},
}
"""Extra → where in the package its libraries may be imported; a thin host runs all the rest."""

DISTRIBUTIONS = {
    "mace": "mace-torch",
    "hydra": "hydra-core",
    "yaml": "pyyaml",
    "torch_ema": "torch-ema",
}


def declared_names(texts: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in texts}


def external_imports(path: Path) -> set[str]:
    """The distributions that a file imports, at its top or inside a function."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    external = imported - sys.stdlib_module_names - {"mo_hpc"}
    return {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in external}


def allowed_imports(place: Path) -> set[str]:
    """The distributions that a file of the package may import, by its place in it."""
    extras = [
        extra
        for extra, places in MAY_IMPORT_EXTRAS.items()
        if any(place.is_relative_to(folder) for folder in places)
    ]
    return declared_names(
        [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    )


PACKAGE_FILES = sorted((REPOSITORY / "mo_hpc").rglob("*.py"))


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=lambda path: path.stem)
def test_imports_of_the_package_are_declared_where_they_stand(path):
    """Whatever it imports stands in pyproject.toml, and in an extra that its place may need."""
    place = path.relative_to(REPOSITORY / "mo_hpc")
    assert external_imports(path) - allowed_imports(place) == set()


def test_every_declared_library_is_imported():
    imported = {name for path in PACKAGE_FILES for name in external_imports(path)}
    texts = [*PROJECT["dependencies"], *EXTRAS["train"], *EXTRAS["tables"], *EXTRAS["mpi"]]
    assert declared_names(texts) - imported == set()


def test_a_thin_host_gets_nothing_heavy():
    assert not {"torch", "mace-torch", "ase", "numpy", "scipy", "pandas", "matplotlib"} & (
        declared_names(PROJECT["dependencies"])
    )


def test_the_extra_all_is_the_other_extras_of_a_run():
    (requirement,) = map(Requirement, EXTRAS["all"])
    assert requirement.name == PROJECT["name"]
    assert requirement.extras == {"train", "tables"}


def test_what_is_looked_for_is_what_the_extras_bring():
    """The names by which a thin Python is found out, against the extras that mend it."""
    for modules, extra in ((TRAINING, "train"), (TABLES, "tables")):
        looked_for = {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in modules}
        assert looked_for == declared_names(EXTRAS[extra])
    assert set(READING) <= set(TRAINING)


# -- make and CI ----------------------------------------------------------------------


def test_make_offers_what_the_documents_promise():
    tests = {"test", "test-slow", "test-image"}
    expected = {"help", "setup", "demo", "lint", "format", "clean"} | tests
    assert make_targets() == expected
    phony = re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert set(phony.group(1).split()) == expected


def test_make_help_lists_every_target():
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"make ([a-z-]+) ", shown)) == make_targets()


def test_make_test_starts_from_the_lock():
    """Without an environment, `make test` makes one first (shown, not run)."""
    shown = subprocess.run(
        ["make", "--dry-run", "test", "VENV=absent-environment"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    order = [shown.index(part) for part in ("-m venv", "torch==", "requirements.lock", "-m pytest")]
    assert order == sorted(order)


def test_old_python_is_refused_with_a_message():
    done = subprocess.run(
        ["make", "setup", "VENV=absent-environment", "PYTHON="],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Python 3.11 or newer was not found" in done.stderr
    assert not (REPOSITORY / "absent-environment").exists()


def test_ci_runs_the_test_command_of_the_readme():
    script = (REPOSITORY / ".ci" / "run").read_text()
    subprocess.run(["bash", "-n", str(REPOSITORY / ".ci" / "run")], check=True)
    assert "set -euo pipefail" in script
    assert re.search(r"^make test$", script, re.MULTILINE)
    assert "make test" in fenced_commands("README.md")


def test_pre_commit_hooks_need_no_download():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    assert {repository["repo"] for repository in hooks["repos"]} == {"local"}


# -- documents ------------------------------------------------------------------------

DOCUMENTS = sorted(
    str(path.relative_to(REPOSITORY))
    for path in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md")
) + sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md"))


def is_the_readers(name: str) -> bool:
    """Whether a name stands for a file that the reader makes, such as mine.yaml."""
    return Path(name).stem.startswith(("my", "mine"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_documents_exist(document):
    for command in fenced_commands(document):
        if command.startswith("make "):
            words = [word for word in command.split("#")[0].split()[1:] if "=" not in word]
            assert set(words) <= make_targets(), command
        for module in re.findall(r"python -m (mo_hpc[\w.]*)", command):
            path = REPOSITORY / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), command
        for group, name in re.findall(r"\b(grid|executor|dataset|site|train)=([a-z]\w*)", command):
            assert name in names(group) or is_the_readers(name), command


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_have_no_placeholder_left(document):
    assert re.findall(r"@[A-Z_]+@", (REPOSITORY / document).read_text()) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_in_documents_lead_somewhere(document):
    """Links and images, in Markdown and in HTML."""
    path = REPOSITORY / document
    text = path.read_text()
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    targets += re.findall(r"""(?:src|href)=["']([^"'#]+)""", text)
    local = [target for target in targets if not re.match(r"https?:|mailto:", target)]
    missing = [target for target in local if not (path.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_named_in_documents_exist(document):
    text = (REPOSITORY / document).read_text()
    pattern = r"`((?:mo_hpc|tests|configs|benchmarks|jobs|docs)/[\w./-]+\.(?:py|yaml|md|sh))`"
    named = re.findall(pattern, text)
    ours = [name for name in named if "NAME" not in name and not is_the_readers(name)]
    assert [name for name in ours if not (REPOSITORY / name).exists()] == []


@pytest.mark.parametrize(("document", "limit"), [("README.md", 200), ("CONTRIBUTING.md", 150)])
def test_first_documents_stay_short(document, limit):
    assert len((REPOSITORY / document).read_text().splitlines()) <= limit


def test_version_is_a_version():
    assert str(Version(mo_hpc.__version__)) == mo_hpc.__version__
