"""The model card as one document: what the models are, how good, and where they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mo_hpc.core.provenance import provenance
from mo_hpc.core.record import TrainRecord
from mo_hpc.exports.chosen import ChosenModel
from mo_hpc.exports.models import ModelFacts
from mo_hpc.exports.parity import Parity
from mo_hpc.metrics.element_intervals import element_intervals_95
from mo_hpc.metrics.predictions import Predictions

CARD_SCHEMA_VERSION = 1

_UNTESTED = (
    "Stresses and pressures: no label has them, training ignores them, no error was measured.",
    (
        "Molecular dynamics, melting, defects and surfaces: only frames like those of the test "
        "part were evaluated."
    ),
    "Structures unlike the training frames: nothing in the model says when it leaves them.",
    (
        "LAMMPS itself: its forms were fed as LAMMPS feeds them, on a CPU; run the checks "
        "with your LAMMPS."
    ),
)


def card_document(
    chosen: Sequence[ChosenModel],
    facts: ModelFacts,
    files: dict[str, str],
    parities: Sequence[Parity],
) -> dict[str, Any]:
    """The card, as JSON values.

    Args:
        chosen: The models.
        facts: What they share.
        files: Name of each file of the export → its sha256.
        parities: What was compared after export.
    """
    records = [each.record for each in chosen]
    return {
        "schema_version": CARD_SCHEMA_VERSION,
        "warnings": warnings_of(records),
        "elements": {
            "known": list(facts.elements),
            "not_in_training": sorted({e for r in records for e in untrained(r, facts)}),
        },
        "r_max_ang": facts.r_max_ang,
        "n_interactions": facts.n_interactions,
        "dtype": facts.dtype,
        "files_sha256": files,
        "parity": [_parity(parity) for parity in parities],
        "models": [_model(each, facts) for each in chosen],
        "not_tested": [*_UNTESTED, *_committee_limits(records)],
        "exported": provenance(),
    }


def warnings_of(records: Sequence[TrainRecord]) -> list[str]:
    """What must be known before a number is believed, one sentence each."""
    found = []
    if labels := sorted({r.labels for r in records if r.synthetic}):
        found.append(
            f"SYNTHETIC LABELS: {', '.join(labels)}. They are not from first principles; "
            "this model is no model of a real material."
        )
    if any(r.foundation and r.foundation.is_stand_in for r in records):
        found.append(
            "STAND-IN FOUNDATION: it was trained within this suite and is not a published "
            "foundation model."
        )
    zero = {e for r in records for e, s in r.energy_references.sources.items() if s == "zero"}
    if zero:
        found.append(
            f"REFERENCE ENERGY ZERO: {' '.join(sorted(zero))}. Total energies of structures with "
            "these elements are off by electronvolts; only forces can be used."
        )
    found += [f"AUDIT OF THE SPLIT: {text}" for r in records for text in r.split.audit.findings]
    return list(dict.fromkeys(found))


def untrained(record: TrainRecord, facts: ModelFacts) -> list[str]:
    """Elements that the model knows and that no frame of its own training contains."""
    return [symbol for symbol in facts.elements if symbol not in record.split.train_elements]


def _parity(parity: Parity) -> dict[str, Any]:
    return {name: getattr(parity, name) for name in Parity.__slots__}


def _model(chosen: ChosenModel, facts: ModelFacts) -> dict[str, Any]:
    record = chosen.record
    kept = record.model_dump(
        mode="json",
        include={
            "task_id", "digest", "grid", "stage", "axes", "paradigm", "dataset", "dataset_hash",
            "subset", "labels", "synthetic", "split", "foundation", "seed", "energy_references",
            "training", "n_parameters", "model_sha256", "predictions_sha256", "provenance",
        },
    )  # fmt: skip
    intervals = element_intervals_95(Predictions.load(chosen.paths.predictions), "test")
    by_element = record.metrics["by_element"]
    return kept | {
        "source": chosen.task.dataset.config.source.model_dump(
            mode="json", include={"licence", "citation"}
        ),
        "not_in_training": untrained(record, facts),
        "held_out": record.split.config.element,
        "errors": {key: value for key, value in record.metrics.items() if key != "by_element"},
        "errors_by_element": {
            symbol: values | {"intervals_95": intervals[symbol]}
            for symbol, values in by_element.items()
        },
    }


def _committee_limits(records: Sequence[TrainRecord]) -> list[str]:
    if len(records) == 1:
        return ["Uncertainty: one model has none; export several tasks together for a committee."]
    return [
        (
            "The committee as a whole: the errors are those of its models, each on its own test "
            "frames, which the others may have trained on."
        ),
        (
            "The committee's spread: export compares it with no error. For tasks that differ only "
            "in the seed, three or more, the tables `committee` and `committee_calibration` of the "
            "run do."
        ),
    ]
