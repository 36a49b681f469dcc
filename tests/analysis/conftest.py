"""A small synthetic run: specifications, records and predictions, without any training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mo_hpc.analysis.settings import NEW_ELEMENTS
from mo_hpc.core.config import load_named
from mo_hpc.core.elements import ATOMIC_NUMBERS
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import append_line, digest, sha256_file, write_json
from mo_hpc.core.paths import RunPaths, TaskPaths
from mo_hpc.core.record import EnergyReferences, TrainingSummary, TrainRecord, write_record
from mo_hpc.core.schema import (
    DatasetConfig,
    ModelConfig,
    SourceConfig,
    SplitConfig,
    Thresholds,
    TrainConfig,
    validated,
)
from mo_hpc.core.task import (
    DatasetRef,
    FoundationRef,
    LeakageAudit,
    NewElements,
    Runtime,
    SplitSummary,
    TrainTask,
)
from mo_hpc.metrics.evaluate import evaluate_predictions
from mo_hpc.metrics.predictions import Predictions
from mo_hpc.plan.manifest import Manifest, ManifestTask

LABELS = "synthetic test labels, 100 % <made up> & a_b"
ELEMENTS = ("Cr", "Nb", "W")
NEW = ("Nb", "W")
PRETRAIN = "pretrain-00000000"

MakeRun = Callable[..., RunPaths]


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    """Writes a run of a pretraining and IID and LODO tasks, all done."""
    return _make_run


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    """A complete synthetic run."""
    return _make_run(tmp_path / "runs" / "synthetic" / "abc")


def cells() -> list[dict[str, Any]]:
    """The axes of the tasks: both protocols, three paradigms, two policies, two repeats."""
    found: list[dict[str, Any]] = []
    paradigms = [
        {"paradigm": "zero_shot"},
        {"paradigm": "scratch", "energy_reference": "average"},
        {"paradigm": "fine_tune", "energy_reference": "average"},
        {"paradigm": "fine_tune", "energy_reference": "foundation"},
    ]
    for paradigm in paradigms:
        found.extend({"protocol": "iid", "repeat": repeat, **paradigm} for repeat in (0, 1))
        for protocol in ("lodo_strict", "lodo_relaxed"):
            found.extend(
                {"protocol": protocol, "element": element, **paradigm} for element in ELEMENTS
            )
    return found


def _make_run(
    folder: Path,
    *,
    unfinished: tuple[int, ...] = (),
    paradigm: str | None = None,
    further: tuple[dict[str, Any], ...] = ({},),
    dataset: str | None = None,
    size: str = "tiny",
    axes_of_tasks: tuple[dict[str, Any], ...] | None = None,
    thresholds: Thresholds | None = None,
) -> RunPaths:
    """Writes a run.

    Args:
        folder: Where to.
        unfinished: Positions of the tasks without a record.
        paradigm: The only one; None for all.
        further: Values of further axes; every task is there once with each.
        dataset: Name of the dataset of all tasks, whole; None for two subsets of a made-up one.
        size: Name of the model size, where the axes name none.
        axes_of_tasks: Axes of the tasks; None for those of `cells`.
        thresholds: Errors that few-shot tables look for; None for none.
    """
    run = RunPaths(folder)
    tasks = [_task({}, PRETRAIN, stage="pretrain")]
    for axes in (cell | more for more in further for cell in axes_of_tasks or cells()):
        if paradigm not in (None, axes["paradigm"]):
            continue
        name = "-".join(str(value) for value in axes.values())
        tasks.append(_task(axes, f"transfer-{name}-{digest(axes)[:8]}", stage="transfer"))
    changes: dict[str, Any] = {}
    if dataset is not None:
        changes["dataset"] = DatasetRef(
            config=_dataset(dataset), subset=None, dataset_hash="f" * 64
        )
    tasks = [
        task.model_copy(update=changes | {"size": task.axes.get("size", size)}) for task in tasks
    ]
    for position, task in enumerate(tasks):
        paths = run.task(task.id)
        write_json(paths.task, task.model_dump(mode="json"))
        if position not in unfinished:
            finish(paths, task)
    manifest = Manifest(
        grid="synthetic",
        description="A run made by the tests (synthetic).",
        run_digest="abc",
        executor="inline",
        site="default",
        dataset="synthetic",
        labels=LABELS,
        synthetic=True,
        thresholds=thresholds or Thresholds(),
        tasks=tuple(
            ManifestTask(
                id=task.id, digest=task.digest, stage=task.stage, axes=task.axes, needs=task.needs
            )
            for task in tasks
        ),
    )
    write_json(run.manifest, manifest.model_dump(mode="json"))
    return run


def _task(axes: dict[str, Any], task_id: str, *, stage: str) -> TrainTask:
    paradigm = axes.get("paradigm", "scratch")
    preset = {key: value for key, value in load_named("train", "demo").items() if key != "defaults"}
    preset["energy_reference"] = axes.get("energy_reference", "average")
    preset["seed"] = axes.get("seed", preset["seed"])
    return TrainTask(
        id=task_id,
        digest=digest([stage, axes]),
        kind="train",
        grid="synthetic",
        stage=stage,
        axes=axes,
        needs=() if stage == "pretrain" else (PRETRAIN,),
        paradigm=paradigm,
        dataset=DatasetRef(config=_dataset(), subset=stage, dataset_hash="f" * 64),
        split=_split(axes),
        model=ModelConfig(name="tiny") if paradigm == "scratch" else None,
        train=validated(TrainConfig, preset, where="train"),
        foundation=None
        if paradigm == "scratch"
        else FoundationRef(task_id=PRETRAIN, elements=("Mo", *ELEMENTS), is_stand_in=True),
        new_elements=_new_elements(axes),
        resources=Resources(),
        runtime=Runtime(data_root="data", cache_root="cache"),
    )


def _new_elements(axes: dict[str, Any]) -> NewElements | None:
    weights = axes.get("new_elements")
    return weights and NewElements(
        weights=weights,
        elements=NEW,
        proxies={} if weights == "slice" else {"Nb": "Cr", "W": "Mo"},
        energy_reference=axes["new_element_energy"],
        energy_reference_ev={},
    )


def _dataset(name: str = "synthetic") -> DatasetConfig:
    return DatasetConfig(
        name=name,
        description="Made up by the tests.",
        reader="extxyz",
        files=("synthetic.xyz",),
        labels=LABELS,
        synthetic=True,
        source=SourceConfig(kind="generated", how_to_get="-", licence="-"),
    )


def _split(axes: dict[str, Any]) -> SplitSummary:
    config = SplitConfig(
        protocol=axes.get("protocol", "iid"),
        element=axes.get("element"),
        repeat=axes.get("repeat", 0),
        grouped=axes.get("grouped", True),
        shots=axes.get("shots", 0),
        new_elements=NEW if axes.get("protocol") in NEW_ELEMENTS else (),
        selection=axes.get("selection", "random"),
    )
    audit = LeakageAudit(
        n_duplicates=0,
        n_near_duplicates=0,
        n_shared_groups=0,
        held_out_element_in_train=None,
        n_train_with_held_out_element=2 * config.shots,
        findings=(),
    )
    return SplitSummary(
        config=config,
        digest="0" * 64,
        n_train=24,
        n_valid=4,
        n_test=18,
        n_excluded=0,
        train_elements=("Mo", *ELEMENTS),
        test_elements=("Mo", *ELEMENTS),
        audit=audit,
    )


def finish(paths: TaskPaths, task: TrainTask) -> None:
    """Writes predictions, progress and the record of a task."""
    predictions = _predictions(task)
    predictions.save(paths.predictions)
    pace = 3 + int(task.digest[:2], 16) / 100
    for epoch in range(1, 13):
        decay = np.exp(-epoch / pace) + 0.05
        append_line(
            paths.progress,
            {
                "epoch": epoch,
                "valid_energy_mae_mev_per_atom": 80 * decay,
                "valid_force_mae_mev_per_ang_component": 300 * decay,
            },
        )
    write_record(paths, _record(paths, task, predictions))


def _predictions(task: TrainTask) -> Predictions:
    """Dilute cells in two hosts, with errors of about the size that the settings suggest."""
    generator = np.random.default_rng(int(task.digest[:8], 16))
    axes = task.axes
    held_out = axes.get("element")
    strict = axes.get("protocol") == "lodo_strict"
    numbers, host, energies, n_atoms, part = [], [], [], [], []
    levels = {"Mo": -10.9, "Cr": -9.5, "Nb": -10.1, "W": -13.0, "Ta": -11.8, "V": -9.1}
    for number in range(42):
        is_test = number < 18
        dopants = ([held_out] if held_out and is_test else []) + list(
            generator.choice(ELEMENTS, 2 if number % 3 else 1)
        )
        if strict and not is_test:
            dopants = [name for name in dopants if name != held_out]
        size = 16 if number % 2 else 12
        symbols = [str(name) for name in dopants] + ["Mo"] * (size - len(dopants))
        host.append("bcc" if number % 2 else "fcc")
        numbers.extend(ATOMIC_NUMBERS[symbol] for symbol in symbols)
        n_atoms.append(size)
        raised = 0.4 if host[-1] == "fcc" else 0.0
        energies.append(sum(levels.get(symbol, -8.0) + raised for symbol in symbols))
        part.append("test" if is_test else "train")
    reference = np.array(energies) + generator.normal(0, 0.01, 42)
    offset = {"zero_shot": 0.15, "scratch": 0.03, "fine_tune": 0.004}[task.paradigm]
    if strict and task.train.energy_reference == "average":
        offset += 0.1 if task.paradigm != "zero_shot" else 0.0
    noise = {"zero_shot": 0.3, "scratch": 0.08, "fine_tune": 0.03}[task.paradigm]
    has_forces = np.array(part) == "test"
    forces = generator.normal(0, 0.6, (int(np.array(n_atoms)[has_forces].sum()), 3))
    return Predictions(
        frame_ids=np.array([f"synthetic.xyz#{number}" for number in range(42)]),
        part=np.array(part),
        host=np.array(host),
        n_atoms=np.array(n_atoms),
        numbers=np.array(numbers),
        energy_ref_ev=reference,
        energy_pred_ev=reference + np.array(n_atoms) * (offset + generator.normal(0, 0.002, 42)),
        has_forces=has_forces,
        forces_ref_ev_per_ang=forces,
        forces_pred_ev_per_ang=forces * 0.95 + generator.normal(0, noise, forces.shape),
    )


def _record(paths: TaskPaths, task: TrainTask, predictions: Predictions) -> TrainRecord:
    trained = TrainingSummary(
        epochs=12,
        best_epoch=11,
        steps=96,
        stopped_by="max_epochs",
        best_valid_loss=0.1,
        wall_time_s=10.0,
        effective_batch_size=4,
        world_size=1,
        learning_rate_first=0.01,
        learning_rate_last=0.01,
        resumed=0,
    )
    return TrainRecord(
        task_id=task.id,
        digest=task.digest,
        grid=task.grid,
        stage=task.stage,
        axes=task.axes,
        paradigm=task.paradigm,
        dataset="synthetic",
        dataset_hash="f" * 64,
        subset=task.stage,
        labels=LABELS,
        synthetic=True,
        split=task.split,
        foundation=task.foundation,
        seed=task.train.seed,
        new_elements=task.new_elements,
        energy_references=EnergyReferences(
            policy="average", values_ev={"Nb": -10.0, "W": -12.0}, sources=dict.fromkeys(NEW, "x")
        ),
        training=None if task.paradigm == "zero_shot" else trained,
        n_parameters=1234,
        n_trainable_parameters=1234,
        metrics=evaluate_predictions(predictions, "test"),
        valid_metrics={},
        model_sha256=None,
        predictions_sha256=sha256_file(paths.predictions),
        wall_time_s=12.0,
        provenance={
            "git": {"commit": "c" * 40, "dirty": False},
            "machine": {"cpu": "synthetic <cpu>", "cores": 2, "memory_gb": 8, "gpus": []},
            "libraries": {"torch": "2.0"},
        },
    )
