"""A finished run, small and real, and an export of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mo_hpc import export, launch
from mo_hpc.core.errors import run_command
from mo_hpc.core.paths import RunPaths
from mo_hpc.exports.chosen import ChosenModel, chosen_models

STRICT, RELAXED = "lodo_strict-W-fine_tune", "lodo_relaxed-W-fine_tune"


@pytest.fixture(scope="session")
def finished_run(cache_root, tmp_path_factory) -> RunPaths:
    """The demo grid's folds of W, one epoch each."""
    folder = tmp_path_factory.mktemp("exports")
    words = [
        "grid=demo",
        "executor=inline",
        f"runs_root={folder / 'runs'}",
        f"cache_root={cache_root}",
        "axes.element=[W]",
        "axes.protocol=[lodo_strict,lodo_relaxed]",
        "axes.paradigm=[zero_shot,fine_tune]",
        "axes.energy_reference=[foundation]",
        "train.max_epochs=1",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "collect_if_ended", lambda *_: None)
        assert run_command(launch.main, words) == 0
    (run,) = (folder / "runs" / "demo").iterdir()
    return RunPaths(run)


@pytest.fixture
def own_run(finished_run, tmp_path) -> RunPaths:
    """A copy of the run that a test may damage."""
    shutil.copytree(finished_run.folder, tmp_path / "run")
    return RunPaths(tmp_path / "run")


@pytest.fixture(scope="session")
def task_id(finished_run) -> Callable[[str], str]:
    """The full id of the one task whose id has a part."""

    def find(part: str) -> str:
        (found,) = (p.folder.name for p in finished_run.task_folders() if part in p.folder.name)
        return found

    return find


@pytest.fixture(scope="session")
def models(finished_run, task_id) -> list[ChosenModel]:
    """The strict and the relaxed fold's model."""
    return chosen_models(finished_run, [task_id(STRICT), task_id(RELAXED)])


@pytest.fixture
def exporting(capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs the command; exit status, stdout and stderr."""

    def run(words: Sequence[str]) -> tuple[int, str, str]:
        code = run_command(export.main, words)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def exported(finished_run, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """One model in all forms: the folder and its card."""
    folder = tmp_path_factory.mktemp("one") / "mo_w"
    words = [f"run={finished_run.folder}", STRICT, "--to", str(folder)]
    assert run_command(export.main, [*words, "--lammps", "mliap", "--lammps", "mace"]) == 0
    return folder, json.loads((folder / "model_card.json").read_text())
