"""Whether what was written computes what was trained: energies and forces, form by form."""

from __future__ import annotations

import io
import runpy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from numpy.typing import NDArray

from mo_hpc.core.errors import UserError, WorkIncomplete
from mo_hpc.core.files import sha256_file
from mo_hpc.data.frames import load_frames
from mo_hpc.exports.chosen import ChosenModel
from mo_hpc.exports.folder import LammpsForm
from mo_hpc.exports.lammps_view import lammps_view
from mo_hpc.exports.models import ModelFacts, facts_of, open_model
from mo_hpc.metrics.predictions import Predictions
from mo_hpc.training.evaluate import batch_values
from mo_hpc.training.graphs import build_graphs, collate

Values = tuple[float, NDArray[np.float64]]
"""Energy in eV and forces in eV/Å, shape (n_atoms, 3)."""
Wanted = tuple[float, NDArray[np.float64] | None]
"""What values are compared with; None where there are no forces."""

N_FRAMES = 4
TOLERANCE = {"float32": 1e-3, "float64": 1e-6}
"""Largest difference allowed, in eV/atom and eV/Å. Single precision leaves some 1e-5 eV/Å, and
a model that was evaluated on a GPU is compared on a CPU."""
_RECORDED = "recorded predictions"


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a written form is from what it was made of.

    Attributes:
        form: ``model``, ``ase``, ``mliap`` or ``mace``.
        task_id: The task of the model; ``committee`` for the mean over all.
        against: What it was compared with.
        n_frames: Number of structures.
        energy_ev_per_atom: Largest difference of an energy per atom.
        force_ev_per_ang: Largest difference of a force component; None where energies alone
            could be compared.
        tolerance: The largest that is accepted, in the same units.
    """

    form: str
    task_id: str
    against: str
    n_frames: int
    energy_ev_per_atom: float
    force_ev_per_ang: float | None
    tolerance: float


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Test frames with what the task's record is about: its own predictions for them."""

    frames: list[ase.Atoms]
    values: Sequence[Wanted]


def recorded_predictions(chosen: ChosenModel) -> Recorded:
    """A few test frames of a task that have all elements its test frames have.

    Raises:
        UserError: If the dataset is not here, or the predictions are not the recorded ones or
            hold no test frame.
        BadDataError: If the dataset has changed since.
    """
    path = chosen.paths.predictions
    if not path.is_file() or sha256_file(path) != chosen.record.predictions_sha256:
        raise UserError(
            "The predictions that the model must reproduce are missing or not the recorded ones.",
            where=str(path),
            remedy=f"Remove {chosen.paths.metrics.name} beside it and launch again.",
        )
    predictions = Predictions.load(path)
    rows = _rows_with_all_elements(predictions)
    if not rows:
        raise UserError(
            "The predictions hold no test frame, so nothing can be compared with the export.",
            where=str(path),
            remedy="Export a task whose split leaves test frames.",
        )
    task = chosen.task
    frames = load_frames(
        task.dataset.config,
        Path(task.runtime.data_root),
        Path(task.runtime.cache_root),
        [str(predictions.frame_ids[row]) for row in rows],
        planned_hash=task.dataset.dataset_hash,
    )
    return Recorded(frames, [_predicted(predictions, row) for row in rows])


def _predicted(predictions: Predictions, row: int) -> Wanted:
    energy_ev = float(predictions.energy_pred_ev[row])
    if not predictions.has_forces[row]:
        return energy_ev, None
    start = int((predictions.n_atoms * predictions.has_forces)[:row].sum())
    n_atoms = int(predictions.n_atoms[row])
    return energy_ev, predictions.forces_pred_ev_per_ang[start : start + n_atoms]


def ase_parity(calculator: Path, chosen: ChosenModel, recorded: Recorded) -> Parity:
    """The module ``calculator.py`` of an export against a task's recorded predictions.

    Raises:
        WorkIncomplete: If they differ by more than rounding.
    """
    calc = exported_calculator(calculator)
    found = _each(_with(calc), recorded)
    return _compared("ase", chosen, found, recorded, against=_RECORDED, dtype=calc.default_dtype)


def member_parity(chosen: ChosenModel, recorded: Recorded) -> Parity:
    """A model of a committee against its own task's recorded predictions.

    The committee's calculator is compared with its models, so these must be compared as well.

    Raises:
        WorkIncomplete: If they differ by more than rounding.
    """
    dtype = facts_of(open_model(chosen)).dtype
    found = eager_values(chosen, recorded.frames, getattr(torch, dtype))
    return _compared("model", chosen, found, recorded, against=_RECORDED, dtype=dtype)


def committee_parity(calculator: Path, chosen: Sequence[ChosenModel], recorded: Recorded) -> Parity:
    """The committee of ``calculator.py`` against the mean of its models, one by one.

    Raises:
        WorkIncomplete: If they differ by more than rounding.
    """
    dtype = facts_of(open_model(chosen[0])).dtype
    single = [eager_values(each, recorded.frames, getattr(torch, dtype)) for each in chosen]
    means: list[Values] = [
        (float(np.mean([energy for energy, _ in each])), np.mean([f for _, f in each], axis=0))
        for each in zip(*single, strict=True)
    ]
    wanted = Recorded(recorded.frames, means)
    found = _each(_with(exported_calculator(calculator)), wanted)
    return _compared("ase", None, found, wanted, against="mean of the models", dtype=dtype)


def lammps_parity(
    content: bytes, form: LammpsForm, chosen: ChosenModel, frames: list[ase.Atoms]
) -> Parity:
    """A written LAMMPS form, fed as LAMMPS feeds it, against the model in double precision.

    Args:
        content: The file; what was just made of the model is all that is opened.
        form: Which form it is.
        chosen: The model.
        frames: Structures to compare on.

    Raises:
        WorkIncomplete: If they differ by more than rounding.
    """
    facts = facts_of(open_model(chosen))
    evaluate = _mliap(content, facts) if form == "mliap" else _torchscript(content, facts)
    wanted = Recorded(frames, eager_values(chosen, frames, torch.float64))
    found = _each(evaluate, wanted)
    against = "the model, double precision"
    return _compared(form, chosen, found, wanted, against=against, dtype="float64")


def exported_calculator(path: Path) -> Any:
    """The calculator that ``calculator.py`` of an export makes; leaves no bytecode there."""
    return runpy.run_path(str(path))["calculator"]()


def _compared(
    form: str,
    chosen: ChosenModel | None,
    found: Sequence[Values],
    wanted: Recorded,
    *,
    against: str,
    dtype: str,
) -> Parity:
    # The maxima of numpy: those of Python lose a NaN.
    energies = [
        abs(a[0] - b[0]) / len(frame)
        for a, b, frame in zip(found, wanted.values, wanted.frames, strict=True)
    ]
    forces = [
        np.abs(a[1] - b[1]).max()
        for a, b in zip(found, wanted.values, strict=True)
        if b[1] is not None
    ]
    parity = Parity(
        form=form,
        task_id=chosen.record.task_id if chosen else "committee",
        against=against,
        n_frames=len(found),
        energy_ev_per_atom=float(np.max(energies)),
        force_ev_per_ang=float(np.max(forces)) if forces else None,
        tolerance=TOLERANCE[dtype],
    )
    if not _held(parity):
        force = parity.force_ev_per_ang
        raise WorkIncomplete(
            f"Nothing was exported: the form '{form}' of {parity.task_id} differs from "
            f"{against} by {parity.energy_ev_per_atom:.2g} eV/atom"
            f"{'' if force is None else f' and {force:.2g} eV/Å'}; "
            f"{parity.tolerance:g} is accepted."
        )
    return parity


def _held(parity: Parity) -> bool:
    differences = (parity.energy_ev_per_atom, parity.force_ev_per_ang)
    # Written so that a NaN is refused, too.
    return all(each <= parity.tolerance for each in differences if each is not None)


def _each(evaluate: Callable[[ase.Atoms], Values], wanted: Recorded) -> list[Values]:
    return [evaluate(frame.copy()) for frame in wanted.frames]


def _with(calc: Any) -> Callable[[ase.Atoms], Values]:
    def evaluate(atoms: ase.Atoms) -> Values:
        atoms.calc = calc
        return float(atoms.get_potential_energy()), np.asarray(atoms.get_forces())

    return evaluate


def eager_values(
    chosen: ChosenModel, frames: Sequence[ase.Atoms], dtype: torch.dtype
) -> list[Values]:
    """The suite's own evaluation of a model, one structure at a time, in that type of numbers."""
    model = open_model(chosen, dtype)
    numbers = torch.as_tensor(model.atomic_numbers).tolist()
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        shown = [_labelled(frame.copy()) for frame in frames]
        graphs = build_graphs(shown, numbers, facts_of(model).r_max_ang)
        batches = [batch_values(model, collate([graph]), forces=True) for graph in graphs]
    finally:
        torch.set_default_dtype(before)
    return [(float(energies[0]), forces) for energies, forces in batches]


def _mliap(content: bytes, facts: ModelFacts) -> Callable[[ase.Atoms], Values]:
    unified = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)

    def evaluate(atoms: ase.Atoms) -> Values:
        view = lammps_view(atoms, unified.element_types, 2 * unified.rcutfac)
        unified.compute_forces(view)
        return view.energy, view.forces

    assert tuple(unified.element_types) == facts.elements
    return evaluate


def _torchscript(content: bytes, facts: ModelFacts) -> Callable[[ase.Atoms], Values]:
    module = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]

    def evaluate(atoms: ase.Atoms) -> Values:
        (graph,) = build_graphs([_labelled(atoms)], module.atomic_numbers.tolist(), facts.r_max_ang)
        inputs = collate([graph]).inputs
        # Only virials need them; the module wants the key.
        inputs["unit_shifts"] = torch.zeros_like(inputs["shifts"])
        output = module(inputs, torch.ones(len(atoms)), False)
        return float(output["total_energy_local"].detach()), output["forces"].detach().numpy()

    return evaluate


def _labelled(atoms: ase.Atoms) -> ase.Atoms:
    """Graphs carry labels; what is only predicted has zeros."""
    atoms.info["REF_energy"] = 0.0
    atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
    return atoms


def _rows_with_all_elements(predictions: Predictions) -> list[int]:
    """Rows of the smallest test frames that together have the elements of all, and a few more.

    Frames without forces count only where no test frame has them.
    """
    starts = np.cumsum(predictions.n_atoms) - predictions.n_atoms
    elements = {
        row: set(predictions.numbers[start : start + n].tolist())
        for row, (start, n) in enumerate(zip(starts, predictions.n_atoms, strict=True))
    }
    test = predictions.part == "test"
    with_forces = test & predictions.has_forces
    usable = np.flatnonzero(with_forces if with_forces.any() else test).tolist()
    usable.sort(key=lambda row: int(predictions.n_atoms[row]))
    rows: list[int] = []
    missing: set[int] = set().union(*(elements[row] for row in usable))
    while missing:
        best = max(usable, key=lambda row: len(elements[row] & missing))
        rows.append(best)
        missing -= elements[best]
    others = [row for row in usable if row not in rows]
    return rows + others[: max(0, N_FRAMES - len(rows))]
