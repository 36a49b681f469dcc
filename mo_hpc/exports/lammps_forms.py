"""The forms in which LAMMPS loads a model, made by MACE's own wrappers (mace 0.3.16).

``mace``: a TorchScript module for ``pair_style mace`` (`mace.calculators.LAMMPS_MACE`).
``mliap``: a pickled object for ``pair_style mliap unified``
(`mace.calculators.lammps_mliap_mace`), here on e3nn's operators, not on cuEquivariance, so that
it also runs where there is no GPU. Both are in double precision, as MACE's own converter makes
them.
"""

from __future__ import annotations

import io
import warnings

import torch
from e3nn.util import jit
from mace.calculators import LAMMPS_MACE
from mace.calculators.lammps_mliap_mace import LAMMPS_MLIAP_MACE

from mo_hpc.exports.chosen import ChosenModel
from mo_hpc.exports.folder import LammpsForm
from mo_hpc.exports.models import open_model

_ORDER = """\
# {name} knows, in its own order: {elements}
# pair_coeff takes one symbol for each atom type of the data file, in the order of
# the types: if type 1 is {second} and type 2 is {first}, write "* * {second} {first}".
# Leave out what the data file lacks.
"""
SETTINGS = """\
units         metal
atom_style    atomic
atom_modify   map yes
newton        on
"""

_STYLE: dict[LammpsForm, tuple[str, str]] = {
    "mliap": (
        (
            "For LAMMPS with KOKKOS, ML-IAP and PYTHON, built with MLIAP_ENABLE_PYTHON:\n"
            "#   lmp -k on g 1 -sf kk -pk kokkos newton on neigh half -in FILE\n"
            "# On a machine without a GPU: MACE_ALLOW_CPU=true and '-k on' without 'g 1'."
        ),
        "pair_style    mliap unified {name} 0\n",
    ),
    "mace": (
        (
            "For LAMMPS with ML-MACE (the fork of the authors of MACE) and libtorch.\n"
            "# One process; on several, drop the word no_domain_decomposition."
        ),
        "pair_style    mace no_domain_decomposition {name}\n",
    ),
}


def lammps_content(chosen: ChosenModel, form: LammpsForm) -> bytes:
    """The content of the file that LAMMPS loads.

    Call it with double precision as torch's default type.
    """
    model = open_model(chosen, torch.float64)
    (head,) = getattr(model, "heads", ["Default"])
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # TorchScript remarks on annotations inside e3nn.
        warnings.simplefilter("ignore", UserWarning)
        if form == "mace":
            torch.jit.save(jit.compile(LAMMPS_MACE(model, head=head)), buffer)
        else:
            model.lammps_mliap = True  # type: ignore[assignment]
            torch.save(LAMMPS_MLIAP_MACE(model, head=head), buffer)
    return buffer.getvalue()


def snippet_text(form: LammpsForm, name: str, elements: tuple[str, ...]) -> str:
    """Lines for an input file of LAMMPS.

    Args:
        form: Which pair style.
        name: Name of the file it loads.
        elements: The model's elements in its own order.
    """
    first, second = (*elements, *elements)[:2]
    order = _ORDER.format(name=name, elements=" ".join(elements), first=first, second=second)
    return f"{heading(form)}{order}{SETTINGS}{pair_lines(form, name, elements)}"


def heading(form: LammpsForm) -> str:
    """Comment lines that say which LAMMPS loads the form."""
    return f"# {_STYLE[form][0]}\n"


def pair_lines(form: LammpsForm, name: str, elements: tuple[str, ...]) -> str:
    """``pair_style`` and ``pair_coeff`` for atom types in the order of the elements."""
    return _STYLE[form][1].format(name=name) + f"pair_coeff    * * {' '.join(elements)}\n"
