"""Published properties of the elements, shipped as CSV with their sources."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import pandas as pd

SOURCE = (
    "Elemental energies and volumes: VASP PBE of the Materials Project (A. Jain et al., APL "
    "Mater. 1, 011002 (2013)), entries of lowest energy, by way of matcalc 0.7.0; Pettifor's "
    "scale: D. G. Pettifor, Solid State Commun. 51, 31 (1984), by way of mendeleev 1.3.0."
)


@dataclass(frozen=True, slots=True)
class ElementProperties:
    """What is known of an element before any alloy is computed.

    Attributes:
        energy_ev_per_atom: PBE energy of the elemental crystal.
        volume_ang3_per_atom: Volume of an atom in it.
        pettifor: Place on Pettifor's chemical scale; neighbours on it are alike.
    """

    energy_ev_per_atom: float
    volume_ang3_per_atom: float
    pettifor: float


def element_properties() -> dict[str, ElementProperties]:
    """Symbol → properties."""
    return dict(_shipped())


@cache
def _shipped() -> dict[str, ElementProperties]:
    path = files("mo_hpc.analysis") / "reference" / "elements.csv"
    with path.open(encoding="utf-8") as handle:
        table = pd.read_csv(handle, comment="#")
    return {
        str(row["symbol"]): ElementProperties(
            float(row["energy_ev_per_atom"]),
            float(row["volume_ang3_per_atom"]),
            float(row["pettifor"]),
        )
        for row in table.to_dict("records")
    }
