"""INCAR, KPOINTS and POSCAR of a structure, by ASE. POTCARs are licensed: the user has them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.vasp.create_input import GenerateVaspInput

from mo_hpc.core.design import VaspConfig
from mo_hpc.core.errors import UserError, unknown_name

_OWN_TAGS = {
    "GGA": "It is PE, for PBE.",
    "MAGMOM": "It follows from 'initial_moments_mu_b'.",
    "KSPACING": "The grid follows from 'reciprocal_density_ang3'.",
}


class _Inputs(GenerateVaspInput):  # type: ignore[misc]  # ASE has no type information
    """ASE's writer, which otherwise refuses to write anything where there is no POTCAR."""

    def _build_pp_list(self, *_: Any, **__: Any) -> list[str]:
        return []


def vasp_inputs(atoms: Atoms, settings: VaspConfig) -> dict[str, str]:
    """The texts of the input files of a structure, by file name.

    Beside INCAR, KPOINTS and POSCAR there is ``POTCAR.spec``: the potentials to concatenate
    into a POTCAR, one a line, in the order of the POSCAR.

    Args:
        atoms: The structure, atoms of one element together.
        settings: How VASP is to treat it.

    Raises:
        UserError: If an INCAR tag is not one that can be set here, or an element has no POTCAR.
    """
    atoms = atoms.copy()
    atoms.set_initial_magnetic_moments(_initial_moments_mu_b(atoms, settings))
    inputs = _Inputs()
    inputs.set(**_parameters(atoms, settings))
    inputs.set_xc_params("pbe")
    inputs.initialize(atoms)
    with TemporaryDirectory() as folder:
        inputs.write_input(atoms, directory=folder)
        names = ("INCAR", "KPOINTS", "POSCAR")
        texts = {name: (Path(folder) / name).read_text() for name in names}
    potcars = [_potcar(symbol, settings) for symbol, _ in inputs.symbol_count]
    return texts | {"POTCAR.spec": "".join(f"{name}\n" for name in potcars)}


def _parameters(atoms: Atoms, settings: VaspConfig) -> dict[str, Any]:
    tags = {tag.upper(): value for tag, value in settings.incar.items()}
    where = f"vasp={settings.name}: incar"
    for tag, why in _OWN_TAGS.items():
        if tag in tags:
            raise UserError(f"The INCAR tag {tag} is not set here.", where=where, remedy=why)
    known = _known_tags()
    for tag in tags:
        # Neither ASE nor VASP refuses a tag with a slip of the pen in it.
        if tag not in known:
            problem = unknown_name("INCAR tag", tag, known)
            raise UserError(problem.what, where=where, remedy=problem.remedy)
    grid = _kpoints(atoms, settings.reciprocal_density_ang3)
    return {tag.lower(): value for tag, value in tags.items()} | {"kpts": grid, "gamma": True}


def _known_tags() -> set[str]:
    """The INCAR tags of one value that ASE knows."""
    inputs = _Inputs()
    kinds = (
        inputs.float_params,
        inputs.exp_params,
        inputs.string_params,
        inputs.int_params,
        inputs.bool_params,
        inputs.special_params,
    )
    return {tag.upper() for kind in kinds for tag in kind}


def _kpoints(atoms: Atoms, density_ang3: float) -> tuple[int, ...]:
    """The grid with about so many k-points per Å⁻³ of the reciprocal cell (with its 2 pi).

    As pymatgen's ``Kpoints.automatic_density_by_vol``, but rounded to the nearest number and
    not down, which would give these cells a single point.
    """
    n_points = density_ang3 * (2 * np.pi) ** 3 / atoms.get_volume()
    lengths = atoms.cell.reciprocal().lengths()
    per_length = (n_points / np.prod(lengths)) ** (1 / 3)
    return tuple(max(1, round(per_length * length)) for length in lengths)


def _initial_moments_mu_b(atoms: Atoms, settings: VaspConfig) -> list[float]:
    known, other = settings.initial_moments_mu_b, settings.other_initial_moment_mu_b
    return [known.get(symbol, other) for symbol in atoms.get_chemical_symbols()]


def _potcar(symbol: str, settings: VaspConfig) -> str:
    if symbol not in settings.potcars:
        raise UserError(
            f"The settings name no POTCAR for {symbol}.",
            where=f"vasp={settings.name}: potcars",
            valid=sorted(settings.potcars),
            remedy=f"Add '{symbol}: …' there.",
        )
    return settings.potcars[symbol]
