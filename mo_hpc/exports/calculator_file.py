"""The module in an export that makes its ASE calculator, without this suite. Light."""

from __future__ import annotations

from collections.abc import Mapping

_TEXT = '''\
"""An ASE calculator for the exported models; needs mace-torch, and nothing of mo_hpc.

    from FOLDER.calculator import calculator
    atoms.calc = calculator()

With several models it is a committee: energies and forces are their means, and
`spread(atoms)` says how far they disagree.
"""

import hashlib
from pathlib import Path

SHA256 = {hashes}
ELEMENTS = {elements}
DTYPE = "{dtype}"


def calculator(device="cpu", dtype=DTYPE, **options):
    """The MACECalculator; a model file that was changed is not opened.

    Args:
        device: "cpu" or "cuda".
        dtype: "float32" or "float64".
        options: Others of MACECalculator.

    Raises:
        ValueError: If a model file is not the exported one.
    """
    folder = Path(__file__).resolve().parent
    for name, sha256 in SHA256.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != sha256:
            raise ValueError(f"{{folder / name}} has the sha256 {{found}}, not {{sha256}}")
    from mace.calculators import MACECalculator

    paths = [str(folder / name) for name in SHA256]
    return MACECalculator(model_paths=paths, device=device, default_dtype=dtype, **options)


def spread(atoms):
    """Sample standard deviations over the models of a committee, for atoms that it calculates.

    Returns:
        Of the energy per atom in eV, and of the force vector on each atom in eV/Å,
        shape (n_atoms,): the root of the variances of its three components, summed.

    Raises:
        ValueError: If there is only one model.
    """
    if len(SHA256) == 1:
        raise ValueError("One model has no spread; export several tasks together.")
    atoms.get_forces()
    energies = atoms.calc.results["energy_comm"]
    forces = atoms.calc.results["forces_comm"]
    return energies.std(ddof=1) / len(atoms), forces.var(axis=0, ddof=1).sum(axis=1) ** 0.5
'''


def calculator_text(sha256: Mapping[str, str], elements: tuple[str, ...], dtype: str) -> str:
    """The text of the module.

    Args:
        sha256: Name of each model file → its sha256, in order.
        elements: What the models know.
        dtype: Type of their parameters.
    """
    hashes = "".join(f'    "{name}": "{value}",\n' for name, value in sha256.items())
    symbols = ", ".join(f'"{symbol}"' for symbol in elements)
    return _TEXT.format(hashes="{\n" + hashes + "}", elements=f"[{symbols}]", dtype=dtype)
