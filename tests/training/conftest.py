"""A toy dataset on disk, tasks on it, and models that train within a second."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
from ase import Atoms

from mo_hpc.core.files import digest, write_json
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.schema import DatasetConfig, ModelConfig, TrainConfig, validated
from mo_hpc.core.task import TrainTask
from mo_hpc.data.index import build_index
from mo_hpc.data.location import dataset_files, dataset_hash
from mo_hpc.training.reproducible import reproducible

REPOSITORY = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


def _benchmark_module(name: str) -> Any:
    path = REPOSITORY / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def side_by_side() -> Any:
    return _benchmark_module("side_by_side")


@pytest.fixture(scope="session")
def train_toy() -> Callable[[Path, str], None]:
    """Our half of a side-by-side run, in this process."""
    return _benchmark_module("train_toy").main


@pytest.fixture(scope="session")
def toy_frames(side_by_side: Any) -> list[Atoms]:
    """Sixteen-atom Mo cells with Nb or W, with reference energies and forces."""
    return side_by_side.toy_frames(18, 2, seed=3)


@pytest.fixture(scope="session")
def architecture(side_by_side: Any) -> ModelConfig:
    return validated(ModelConfig, side_by_side.TINY_MODEL, where="model")


@pytest.fixture(scope="session")
def settings(side_by_side: Any) -> Callable[..., TrainConfig]:
    """Training settings: short, float64, with changes by keyword."""

    def make(**changes: Any) -> TrainConfig:
        document = side_by_side.TRAIN | {"max_epochs": 3} | changes
        return validated(TrainConfig, document, where="train")

    return make


@pytest.fixture
def double() -> Iterator[None]:
    """Everything in float64 and reproducible."""
    with reproducible(seed=1, dtype="float64", n_threads=1, device=CPU):
        yield


@pytest.fixture(scope="session")
def toy_dataset(
    tmp_path_factory: pytest.TempPathFactory, toy_frames: list[Atoms]
) -> tuple[DatasetConfig, Path, list[str]]:
    """The toy frames as a registered dataset: configuration, its root, ids in file order."""
    root = tmp_path_factory.mktemp("toy")
    ase.io.write(root / "toy.xyz", toy_frames)
    config = validated(
        DatasetConfig,
        {
            "name": "toy",
            "description": "Lennard-Jones cells for tests",
            "reader": "extxyz",
            "files": ["toy.xyz"],
            "labels": "Lennard-Jones",
            "synthetic": True,
            "source": {"kind": "local", "how_to_get": "it is made by tests", "licence": "none"},
        },
        where="toy",
    )
    index = build_index(config, root, root / "cache")
    return config, root, [frame.id for frame in index.frames]


TaskMaker = Callable[..., tuple[TaskPaths, TrainTask]]


@pytest.fixture
def make_task(tmp_path: Path, make_task_in: Callable[[Path], TaskMaker]) -> TaskMaker:
    """Writes a task folder: ``make_task("name", paradigm=…, foundation=…, max_epochs=…)``."""
    return make_task_in(tmp_path)


@pytest.fixture(scope="session")
def run_alone() -> Callable[..., subprocess.Popen[str]]:
    """Starts a task in a process of its own, with further words and environment."""
    script = Path(__file__).with_name("run_task_alone.py")

    def start(paths: TaskPaths, *words: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore", str(script), str(paths.folder), *words]
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
        return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture(scope="session")
def make_task_in(
    toy_dataset: tuple[DatasetConfig, Path, list[str]],
    architecture: ModelConfig,
    settings: Callable[..., TrainConfig],
) -> Callable[[Path], TaskMaker]:
    """`make_task` for a folder of one's own choice."""
    return lambda folder: _task_maker(folder, toy_dataset, architecture, settings)


def _task_maker(
    folder: Path,
    toy_dataset: tuple[DatasetConfig, Path, list[str]],
    architecture: ModelConfig,
    settings: Callable[..., TrainConfig],
) -> TaskMaker:
    config, root, ids = toy_dataset

    def make(
        name: str,
        *,
        paradigm: str = "scratch",
        foundation: dict[str, Any] | None = None,
        foundation_path: Path | None = None,
        n_ranks: int = 1,
        r_max_ang: float | None = None,
        **train: Any,
    ) -> tuple[TaskPaths, TrainTask]:
        paths = TaskPaths(folder / "tasks" / name)
        model = architecture.model_copy(update={"r_max_ang": r_max_ang} if r_max_ang else {})
        split = {"train": ids[:10], "valid": ids[10:13], "test": ids[13:]}
        document = {
            "id": name,
            "digest": name,
            "kind": "train",
            "grid": "toy",
            "stage": "toy",
            "axes": {},
            "paradigm": paradigm,
            "dataset": {
                "config": config.model_dump(mode="json"),
                "subset": None,
                "dataset_hash": dataset_hash(config, dataset_files(config, root, root / "cache")),
            },
            "split": {
                "config": {},
                "digest": digest(split),
                "n_train": 10,
                "n_valid": 3,
                "n_test": 5,
                "n_excluded": 0,
                "train_elements": ["Mo"],
                "test_elements": ["Mo"],
                "audit": {
                    "n_duplicates": 0,
                    "n_near_duplicates": 0,
                    "n_shared_groups": 0,
                    "held_out_element_in_train": None,
                    "n_train_with_held_out_element": 0,
                    "findings": [],
                },
            },
            "model": model.model_dump(mode="json"),
            "train": settings(**train).model_dump(mode="json"),
            "foundation": foundation,
            "resources": {"cpus_per_task": 1, "tasks_per_node": n_ranks, "device": "cpu"},
            "runtime": {
                "data_root": str(root),
                "cache_root": str(root / "cache"),
                "foundation_path": str(foundation_path) if foundation_path else None,
            },
        }
        task = validated(TrainTask, document, where=name)
        write_json(paths.split, split)
        write_json(paths.task, json.loads(task.model_dump_json()))
        return paths, task

    return make
