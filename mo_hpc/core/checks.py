"""How domain checks of a model are computed: host, dopants, cells, and when a number counts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mo_hpc.core.elements import Element
from mo_hpc.core.strict import Strict

CheckName = Literal[
    "lattice_constant",
    "equation_of_state",
    "elastic_constants",
    "vacancy",
    "substitution",
    "binding",
    "surfaces",
    "stability",
]

_RELAXATION = ("fmax_ev_per_ang", "max_steps")
ACTING: dict[CheckName, tuple[str, ...]] = {
    "lattice_constant": ("host",),
    "equation_of_state": ("host", "volume_range", "n_volumes"),
    "elastic_constants": ("host", "max_strain"),
    "vacancy": ("host", "repeat", *_RELAXATION),
    "substitution": ("host", "dopants", "repeat", *_RELAXATION),
    "binding": ("host", "dopants", "pairs", "pair_shells", "repeat", *_RELAXATION),
    "surfaces": ("host", "slab_ang", "vacuum_ang", *_RELAXATION),
    "stability": (
        *("host", "repeat", "temperature_k", "timestep_fs"),
        *("equilibration_steps", "md_steps", "seed"),
    ),
}
"""Check → the settings that change its result; the others are no part of its task's identity."""

STUDY_DOPANTS: tuple[str, ...] = (
    *("Cr", "Fe", "Mn", "Nb", "Re", "Ta", "Ti", "V", "W", "Y", "Zr"),
    *("Ag", "Al", "Au", "Co", "Cu", "Hf", "Hg", "Ni", "Zn"),
)
"""The eleven dopants of the designed structures, then the nine new elements."""


class CheckConfig(Strict):
    """Settings of all domain checks; cells have the lattice constant of the model itself."""

    host: Element = "Mo"
    """The element of the crystal, which is BCC unless a check says otherwise."""
    dopants: tuple[Element, ...] = STUDY_DOPANTS
    """Elements whose substitution and binding energies are computed."""
    pairs: Literal["like", "all"] = "like"
    """Which pairs bind: each dopant with its like, or every one with every one."""
    pair_shells: tuple[int, ...] = (1, 2, 3)
    """Neighbour shells, from 1, on which the second dopant of a pair sits."""
    repeat: int = Field(4, ge=2)
    """Conventional cells along each edge of a crystal with defects: 4 are 128 sites."""
    fmax_ev_per_ang: float = Field(0.01, gt=0)
    """A relaxation has converged when no atom feels a larger force, in eV/Å."""
    max_steps: int = Field(300, ge=1)
    """Steps after which a relaxation has not converged."""
    volume_range: float = Field(0.06, gt=0, lt=0.5)
    """The equation of state reaches this fraction below and above the equilibrium volume."""
    n_volumes: int = Field(13, ge=5)
    max_strain: float = Field(0.005, gt=0, lt=0.1)
    """Largest strain, of either sign, from which elastic constants are fitted."""
    slab_ang: float = Field(18.0, gt=0)
    """Least thickness of a slab in Å."""
    vacuum_ang: float = Field(15.0, gt=0)
    """Vacuum between a slab and its image in Å; more than twice the reach of the model."""
    temperature_k: float = Field(1000.0, gt=0)
    """Temperature of the stability run in K."""
    timestep_fs: float = Field(2.0, gt=0)
    equilibration_steps: int = Field(100, ge=0)
    """Steps of the stability run that are not counted."""
    md_steps: int = Field(500, ge=10)
    """Steps of the stability run that are."""
    seed: int = 42
    """Of the velocities with which the stability run begins."""

    @model_validator(mode="after")
    def _consistent(self) -> CheckConfig:
        if len(set(self.dopants)) != len(self.dopants):
            raise ValueError("dopants has an element twice")
        if (
            len(set(self.pair_shells)) != len(self.pair_shells)
            or min(self.pair_shells, default=1) < 1
        ):
            raise ValueError("pair_shells are counted from 1, each once")
        return self
