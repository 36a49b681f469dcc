"""One export: models, calculator, LAMMPS forms, comparison, card, in a folder that is new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase
import torch

from mo_hpc.core.files import sha256_file, write_atomic, write_json
from mo_hpc.exports.calculator_file import calculator_text
from mo_hpc.exports.card import card_document
from mo_hpc.exports.card_text import card_text
from mo_hpc.exports.chosen import ChosenModel
from mo_hpc.exports.folder import ExportFolder, LammpsForm, new_folder
from mo_hpc.exports.lammps_check import check_text, structure_text
from mo_hpc.exports.lammps_forms import (
    SETTINGS,
    heading,
    lammps_content,
    pair_lines,
    snippet_text,
)
from mo_hpc.exports.models import ModelFacts, common_facts
from mo_hpc.exports.parity import (
    Parity,
    ase_parity,
    committee_parity,
    eager_values,
    lammps_parity,
    member_parity,
    recorded_predictions,
)
from mo_hpc.training.reproducible import reproducible


def make_export(
    chosen: Sequence[ChosenModel], folder: Path, forms: Sequence[LammpsForm]
) -> dict[str, Any]:
    """Writes an export and compares it with what it was made of.

    Args:
        chosen: One model, or several as a committee.
        folder: Where; nothing is there yet.
        forms: What LAMMPS shall load.

    Returns:
        The model card.

    Raises:
        UserError: If the folder exists, the models are no committee, or data are missing.
        BadDataError: If the dataset has changed since.
        WorkIncomplete: If a form does not compute what its model does; nothing is left then.
    """
    cpu = torch.device("cpu")
    with (
        reproducible(seed=0, dtype="float64", n_threads=torch.get_num_threads(), device=cpu),
        new_folder(folder, len(chosen)) as export,
    ):
        facts = common_facts(chosen)
        _write_models(export, chosen, facts)
        parities = _write_forms(export, chosen, forms, facts)
        files = {path.name: sha256_file(path) for path in sorted(export.path.iterdir())}
        card = card_document(chosen, facts, files, parities)
        write_json(export.card_json, card)
        write_atomic(export.card, card_text(card, usage(folder)))
    return card


def usage(folder: Path) -> str:
    """Python lines that make the calculator, as they can be pasted."""
    if folder.name.isidentifier():
        return (
            "# from the folder that holds this one, or with it on sys.path\n"
            f"from {folder.name}.calculator import calculator\n"
            "atoms.calc = calculator()"
        )
    return (
        "# inside this folder, or with it on sys.path\n"
        "from calculator import calculator\n"
        "atoms.calc = calculator()"
    )


def _write_models(export: ExportFolder, chosen: Sequence[ChosenModel], facts: ModelFacts) -> None:
    for number, each in enumerate(chosen):
        write_atomic(export.model(number), each.content)
    hashes = {export.model(number).name: each.sha256 for number, each in enumerate(chosen)}
    text = calculator_text(hashes, facts.elements, facts.dtype)
    write_atomic(export.calculator, text)


def _write_forms(
    export: ExportFolder,
    chosen: Sequence[ChosenModel],
    forms: Sequence[LammpsForm],
    facts: ModelFacts,
) -> list[Parity]:
    recorded = [recorded_predictions(each) for each in chosen]
    if len(chosen) == 1:
        parities = [ase_parity(export.calculator, chosen[0], recorded[0])]
    else:
        parities = [member_parity(*each) for each in zip(chosen, recorded, strict=True)]
        parities.append(committee_parity(export.calculator, chosen, recorded[0]))
    for number, each in enumerate(chosen):
        for form in forms:
            content = lammps_content(each, form)
            parities.append(lammps_parity(content, form, each, recorded[number].frames))
            write_atomic(export.lammps(number, form), content)
    if forms:
        _write_lammps_texts(export, chosen, forms, facts, recorded[0].frames[0])
    return parities


def _write_lammps_texts(
    export: ExportFolder,
    chosen: Sequence[ChosenModel],
    forms: Sequence[LammpsForm],
    facts: ModelFacts,
    structure: ase.Atoms,
) -> None:
    """Lines for input files, and a check of each file that LAMMPS runs by itself."""
    write_atomic(export.check_data, structure_text(structure, facts.elements))
    for form in forms:
        name = export.lammps(0, form).name
        write_atomic(export.snippet(form), snippet_text(form, name, facts.elements))
        for number, each in enumerate(chosen):
            ((energy_ev, forces),) = eager_values(each, [structure], torch.float64)
            pair = pair_lines(form, export.lammps(number, form).name, facts.elements)
            check = check_text(export.check_data.name, pair, energy_ev, forces)
            write_atomic(export.check(number, form), heading(form) + SETTINGS + check)
