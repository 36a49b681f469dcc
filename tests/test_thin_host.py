"""The host of a cluster: another Python than the tasks', and none of their libraries.

It plans the same tasks, watches runs, and says what it cannot do itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mo_hpc.core.installation import locked_versions

REPOSITORY = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "mace-torch", "e3nn", "ase", "matscipy", "numpy", "scipy", "pandas", "matplotlib"}
SMALL = ("grid=nightly", "axes.paradigm=[zero_shot]", "axes.protocol=[iid]", "train.max_epochs=1")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Thin:
    """A Python with the package and nothing heavy."""

    python: Path
    folder: Path
    cache_root: Path

    def run(
        self, module: str, *words: str, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command of the suite in a folder outside of the checkout."""
        return run_module(self.python, module, *words, cwd=self.folder, timeout_s=timeout_s)


def run_module(
    python: Path | str, module: str, *words: str, cwd: Path, timeout_s: float = 300
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-m", module, *words],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="module")
def thin(thin_python, tmp_path_factory, cache_root) -> Thin:
    return Thin(thin_python, tmp_path_factory.mktemp("work"), cache_root)


@pytest.fixture(scope="module")
def a_run(thin) -> Path:
    """A small run, made by this Python, in the folder where the thin one works."""
    words = (*SMALL, "executor=inline", "executor.collect=false", f"cache_root={thin.cache_root}")
    done = run_module(sys.executable, "mo_hpc.launch", *words, "--json", cwd=thin.folder)
    assert done.returncode == 0, done.stderr
    return thin.folder / json.loads(done.stdout)["run_dir"]


def facts(thin: Thin) -> dict[str, str]:
    """Distribution → version of what is installed there."""
    listed = thin.run("pip", "list", "--format=json").stdout
    return {each["name"].lower().replace("_", "-"): each["version"] for each in json.loads(listed)}


def test_it_has_the_versions_of_the_lock_and_nothing_heavy(thin):
    installed = facts(thin)
    assert HEAVY & set(installed) == set()
    locked = locked_versions()
    others = {name: v for name, v in installed.items() if name not in {"mo-hpc", "pip"}}
    assert others == {name: locked.get(name) for name in others}
    assert {"hydra-core", "pydantic", "submitit", "rich"} <= set(others)


def test_the_installed_package_knows_its_lock(thin):
    program = (
        "import sys\n"
        "from mo_hpc.core.installation import checkout, locked_versions\n"
        "assert checkout() is None\n"
        "print(sys.version_info.minor, locked_versions()['torch'])\n"
    )
    told = subprocess.run(
        [thin.python, "-c", program], cwd=thin.folder, capture_output=True, text=True, check=True
    )
    minor, torch = told.stdout.split()
    assert int(minor) != sys.version_info.minor
    assert torch == locked_versions()["torch"]


COMMANDS = sorted(
    f"mo_hpc.{path.stem}"
    for path in (REPOSITORY / "mo_hpc").glob("*.py")
    if not path.stem.startswith("_")
)


@pytest.mark.parametrize("module", ["mo_hpc", "mo_hpc.data", *COMMANDS])
def test_every_command_explains_itself(thin, module):
    shown = thin.run(module, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert module in shown.stdout


def test_it_plans_what_the_other_python_plans(thin):
    """The same tasks with the same splits: task ids carry digests of all that matters."""
    words = ("grid=nightly", f"cache_root={thin.cache_root}", "--dry-run", "--json")
    here = run_module(sys.executable, "mo_hpc.launch", *words, cwd=thin.folder)
    there = thin.run("mo_hpc.launch", *words)
    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert len(json.loads(there.stdout)["tasks"]) == 10


def test_it_shows_the_batch_scripts(thin):
    words = ("grid=nightly", "executor=slurm", f"cache_root={thin.cache_root}", "--dry-run")
    shown = thin.run("mo_hpc.launch", *words)
    assert shown.returncode == 0, shown.stderr
    assert "#SBATCH --array=0" in shown.stdout


def test_it_watches_a_run(thin, a_run):
    shown = thin.run("mo_hpc.status", f"run={a_run}", "--json")
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert set(document["counts"]) == {"done"}
    again = thin.run("mo_hpc.retry", f"run={a_run}")
    assert "No task of that kind failed" in again.stderr
    assert "Traceback" not in again.stderr


def test_it_launches_a_run_that_is_done(thin, a_run):
    words = (*SMALL, "executor=local", f"cache_root={thin.cache_root}", "--json")
    again = thin.run("mo_hpc.launch", *words)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["submitted"] == []


def test_it_lists_data(thin):
    shown = thin.run("mo_hpc.data", "list", "--json", f"cache_root={thin.cache_root}")
    assert shown.returncode == 0, shown.stderr
    states = {each["name"]: each["state"] for each in json.loads(shown.stdout)["datasets"]}
    assert {"demo", "nbmotaw"} <= set(states)


REFUSED = {
    "collect": (
        ("mo_hpc.collect", "run={run}"),
        "Making tables needs libraries that this Python lacks: matplotlib, numpy, pandas",
        "apptainer run IMAGE collect run={run}",
    ),
    "data check": (
        ("mo_hpc.data", "check", "demo", "cache_root={cache}"),
        "Checking data needs libraries that this Python lacks: ase, matscipy, numpy, scipy.",
        "apptainer run IMAGE data check demo cache_root={cache}",
    ),
    "data build": (
        ("mo_hpc.data", "build", "demo", "cache_root=elsewhere"),
        "Generating data needs libraries that this Python lacks: ase, matscipy, numpy, scipy.",
        "apptainer run IMAGE data build demo cache_root=elsewhere",
    ),
    "design": (
        ("mo_hpc.data", "build", "mo420"),
        "Writing structures needs libraries that this Python lacks: ase, matscipy, numpy, scipy.",
        "apptainer run IMAGE data build mo420",
    ),
    "data gather": (
        ("mo_hpc.data", "gather", "mo420", "folder=mine"),
        "Reading runs needs libraries that this Python lacks: ase, matscipy, numpy, scipy.",
        "apptainer run IMAGE data gather mo420 folder=mine",
    ),
    "data trust": (
        ("mo_hpc.data", "trust", "my.model", "cache_root=elsewhere", "--yes"),
        "Looking into a model needs libraries that this Python lacks: torch, mace, e3nn",
        "apptainer run IMAGE data trust my.model cache_root={work}/elsewhere",
    ),
    "index": (
        ("mo_hpc.launch", "grid=demo", "cache_root=elsewhere", "--dry-run"),
        "Indexing a dataset needs libraries that this Python lacks: ase, matscipy, numpy, scipy.",
        "python -m mo_hpc.launch ... site.container=IMAGE",
    ),
    "inline": (
        ("mo_hpc.launch", "grid=nightly", "executor=inline", "cache_root={cache}"),
        "Running a task here needs libraries that this Python lacks: torch, mace, e3nn",
        "python -m mo_hpc.launch ... site.container=IMAGE",
    ),
    "local": (
        ("mo_hpc.launch", "grid=nightly", "executor=local", "cache_root={cache}"),
        "Running a task here needs libraries that this Python lacks: torch, mace, e3nn",
        "python -m mo_hpc.launch ... site.container=IMAGE",
    ),
    "nightly": (
        ("mo_hpc.nightly", "run", "executor=local"),
        "The nightly check needs libraries that this Python lacks: matplotlib, numpy, pandas",
        "apptainer run IMAGE nightly run executor=local",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_a_library_says_so(thin, a_run, name):
    (module, *words), what, way_out = REFUSED[name]
    (thin.folder / "my.model").write_bytes(b"a model of mine")
    before = sorted(thin.folder.rglob("*"))

    def filled(text: str) -> str:
        return text.format(run=a_run, cache=thin.cache_root, work=thin.folder)

    refused = thin.run(module, *map(filled, words))
    assert refused.returncode == 2, refused.stderr
    assert "Traceback" not in refused.stderr
    said = " ".join(refused.stderr.replace("\\\n", " ").split())
    assert filled(what) in said
    assert "python -m pip install 'mo_hpc[all]'" in said
    assert filled(way_out) in said
    assert sorted(thin.folder.rglob("*")) == before


def test_a_worker_leaves_a_record_of_what_it_lacks(thin, a_run):
    task = min((a_run / "tasks").iterdir())
    alone = thin.folder / "alone" / "tasks" / "pretrain"
    alone.mkdir(parents=True)
    document = json.loads((task / "task.json").read_text())
    (alone / "task.json").write_text(json.dumps(document | {"needs": []}))
    worked = thin.run("mo_hpc.worker", str(alone))
    assert worked.returncode == 1
    assert "Traceback" not in worked.stderr
    error = json.loads((alone / "error.json").read_text())
    assert error["failure_class"] == "bad_input"
    assert error["message"].startswith("Running a task needs libraries that this Python lacks")


def test_its_message_names_a_command_that_pip_understands(thin, a_run):
    """What it would install is what the extras name, in the versions of the lock."""
    refused = thin.run("mo_hpc.collect", f"run={a_run}").stderr
    start = refused.index("python -m pip install")
    command = refused[start : refused.index("or use an image")].replace("\\\n", " ").split()
    words = [word.strip("'") for word in command[4:]]
    # All of it would be gigabytes; the tables alone show that the extras are found.
    words = [word.replace("[all]", "[tables]") for word in words]
    told = thin.run("pip", "install", "--dry-run", *words, timeout_s=300)
    assert told.returncode == 0, told.stderr
    locked = locked_versions()
    for name in ("numpy", "pandas", "matplotlib", "tabulate"):
        assert f"{name}-{locked[name]}" in told.stdout
