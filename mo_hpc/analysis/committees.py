"""Committees: tasks that differ only in the seed, and what their spread tells of their error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mo_hpc.analysis.aggregate import mean_and_std
from mo_hpc.analysis.notes import caption, origin
from mo_hpc.analysis.predicted import test_predictions
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.settings import FOLD, SHOTS, described, groups, shown, title, varying
from mo_hpc.analysis.table import Column, Table
from mo_hpc.core.schema import FEWEST_MEMBERS
from mo_hpc.metrics.committee import (
    AT_REST_MEV_PER_ANG,
    ROUNDING,
    Uncertainty,
    calibration,
    energy_uncertainty,
    force_uncertainty,
    pooled,
    zero_force_errors,
)
from mo_hpc.metrics.energies import root_mean_square

QUANTITIES = {"force": "meV/Å, vector", "energy": "meV/atom"}
_LINEAR = "energy_rmse_mev_per_atom_linear_baseline"
_LETTERS = {"force": "F", "energy": "E"}
_NUMBERS = {"force": "n_force_atoms", "energy": "n_frames"}
_WHAT = (
    "Spread: sample standard deviation over the members (forces: of the vector, meV/Å; energies: "
    "meV/atom); RMSE: of the members' mean. ρ: Spearman's rank correlation of spread and error, "
    "over atoms for forces and over frames for energies. At rest: atoms without a force in label "
    f"and predictions (at most {AT_REST_MEV_PER_ANG:g} meV/Å), where symmetry and not knowledge "
    "makes both vanish; they are left out. Zero force: RMSE of predicting no force at all, on the "
    "same atoms; linear: RMSE of one energy per element and host fitted to the training frames, "
    "without a network. An offset that all members share, such as that of a reference energy, is "
    f"in the energy error and in no spread. Spreads of at most {ROUNDING:g} of the largest "
    "prediction are rounding: they count as equal, and make no ρ where all are. The median's n "
    "counts the folds that have a ρ. Test frames only."
)
_BINS = (
    "Bins of equal number by predicted spread; of a calibrated committee RMSE and spread of a bin "
    "are about the same."
)


@dataclass(frozen=True, slots=True, eq=False)
class Committee:
    """One fold, predicted by models that differ in the seed.

    Attributes:
        fold: Its settings, protocol, element and repeat.
        tasks: Ids of the members' tasks.
        uncertainty: Quantity → spread and error, of the test frames.
        zero_force_rmse: Error of predicting no force on the same atoms, meV/Å of the vector.
        linear_rmse: Error of the linear baseline on the same frames, meV/atom.
    """

    fold: Mapping[str, Any]
    tasks: tuple[str, ...]
    uncertainty: Mapping[str, Uncertainty]
    zero_force_rmse: float | None
    linear_rmse: float | None


def committee_tasks(
    frame: pd.DataFrame, settings: Sequence[str]
) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The tasks of each fold that has enough seeds, with the values that they share.

    Args:
        frame: One row per task of a run.
        settings: Settings that tell studies apart.
    """
    able = frame[(frame["state"] == "done") & (frame["paradigm"] != "zero_shot")]
    return [
        (values, tasks)
        for values, tasks in groups(able, [*settings, *FOLD, "repeat", SHOTS])
        if tasks["seed"].nunique() >= FEWEST_MEMBERS
    ]


def read_committees(
    records: RunRecords, chosen: Sequence[tuple[Mapping[str, Any], pd.DataFrame]]
) -> list[Committee]:
    """Reads the predictions of committees.

    Raises:
        UserError: If the predictions of a task are missing or not those of its record.
    """
    found = []
    for values, tasks in chosen:
        members = test_predictions(records, tasks)
        uncertainty = {
            "force": force_uncertainty(members),
            "energy": energy_uncertainty(members),
        }
        zero = root_mean_square(zero_force_errors(members))
        linear = mean_and_std(tasks, [_LINEAR])[_LINEAR]
        found.append(Committee(values, tuple(tasks["task_id"]), uncertainty, zero, linear))
    return found


def committee_tables(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> list[Table]:
    """Rank correlations of every fold with their median, and the calibration of all; else none."""
    committees = read_committees(records, committee_tasks(frame, settings))
    if not committees:
        return []
    used = frame[frame["task_id"].isin([task for each in committees for task in each.tasks])]
    keys = [*settings, "protocol", SHOTS]
    naming = [name for name in keys if name in ("paradigm", "protocol", *varying(used, keys))]
    studies: dict[str, list[Committee]] = {}
    for each in committees:
        name = described({name: each.fold[name] for name in naming})
        studies.setdefault(name, []).append(each)
    notes = (_WHAT, *origin(used))
    return [_fold_table(records, studies, notes), _calibration_table(records, studies, notes)]


def _fold_table(
    records: RunRecords, studies: Mapping[str, list[Committee]], notes: tuple[str, ...]
) -> Table:
    rows: list[dict[str, Any]] = []
    rules = set()
    for study, folds in studies.items():
        rules.add(len(rows))
        of_study = [_fold_row(study, fold) for fold in folds]
        rows.extend([*of_study, _median_row(study, of_study)])
    columns = [
        Column("study", "study"),
        Column("element", title("element")),
        Column("repeat", "repeat"),
        Column("n_members", "members"),
    ]
    for name, letter in _LETTERS.items():
        columns.append(Column(_NUMBERS[name], "atoms" if name == "force" else "frames"))
        if name == "force":
            columns.append(Column("n_at_rest", "at rest"))
        columns.append(Column(f"{name}_rank_correlation", f"{letter} ρ", 2))
        columns.append(Column(f"{name}_spread", f"{letter} spread, RMS", 1))
        columns.append(Column(f"{name}_rmse", f"{letter} RMSE", 1))
        beside = ("zero_force_rmse", "zero force") if name == "force" else ("linear_rmse", "linear")
        columns.append(Column(*beside, 1))
    return Table(
        name="committee",
        title=caption(records, "Committees of seeds: spread against error"),
        columns=tuple(columns),
        rows=tuple(rows),
        notes=notes,
        rules=frozenset(rules),
    )


def _fold_row(study: str, committee: Committee) -> dict[str, Any]:
    row: dict[str, Any] = {
        "study": study,
        "element": shown(committee.fold["element"]),
        "repeat": committee.fold["repeat"],
        "n_members": len(committee.tasks),
        "n_at_rest": committee.uncertainty["force"].n_at_rest,
    }
    for name, values in committee.uncertainty.items():
        row |= {
            _NUMBERS[name]: len(values.error),
            f"{name}_rank_correlation": values.rank_correlation,
            f"{name}_spread": root_mean_square(values.spread),
            f"{name}_rmse": root_mean_square(values.error),
        }
    row["zero_force_rmse"] = committee.zero_force_rmse
    row["linear_rmse"] = committee.linear_rmse
    return row


def _median_row(study: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    folds = pd.DataFrame(rows)
    means = ("rank_correlation", "spread", "rmse")
    beside = ("zero_force_rmse", "linear_rmse")
    keys = [*(f"{name}_{mean}" for name in QUANTITIES for mean in means), *beside]
    medians = {key: float(pd.to_numeric(folds[key]).median()) for key in keys}
    return {"study": study, "element": f"median (n={_numbers_with_correlation(folds)})"} | medians


def _numbers_with_correlation(folds: pd.DataFrame) -> str:
    """How many folds have a rank correlation, of each quantity where these differ."""
    known = {name: int(folds[f"{name}_rank_correlation"].notna().sum()) for name in QUANTITIES}
    if len(set(known.values())) == 1:
        return str(known["force"])
    return ", ".join(f"{n} {_LETTERS[name]}" for name, n in known.items())


def _calibration_table(
    records: RunRecords, studies: Mapping[str, list[Committee]], notes: tuple[str, ...]
) -> Table:
    rows: list[dict[str, Any]] = []
    rules = set()
    for study, folds in studies.items():
        for name, unit in QUANTITIES.items():
            rules.add(len(rows))
            whole = pooled([fold.uncertainty[name] for fold in folds])
            rows.extend(
                {
                    "study": study,
                    "quantity": f"{name} ({unit})",
                    "bin": place,
                    "n": each.n,
                    "spread": each.spread,
                    "rmse": each.rmse,
                    "ratio": each.rmse / each.spread if each.spread else None,
                }
                for place, each in enumerate(calibration(whole), start=1)
            )
    return Table(
        name="committee_calibration",
        title=caption(records, "Calibration of committees, folds pooled"),
        columns=(
            Column("study", "study"),
            Column("quantity", "quantity"),
            Column("bin", "bin"),
            Column("n", "n"),
            Column("spread", "spread, RMS", 1),
            Column("rmse", "RMSE", 1),
            Column("ratio", "RMSE / spread", 2),
        ),
        rows=tuple(rows),
        notes=(_BINS, *notes),
        rules=frozenset(rules),
    )
