"""What a design of structures says: hosts, dopants, sites, and how VASP is to treat them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mo_hpc.core.config import load_named
from mo_hpc.core.elements import Element
from mo_hpc.core.strict import FOLDER_NAME, Scalar, Strict
from mo_hpc.core.validation import validated

Lattice = Literal["sc", "bcc", "fcc", "hcp", "diamond"]


class HostConfig(Strict):
    """A crystal whose atoms are replaced: a lattice of one element, or any structure file."""

    name: str = Field(pattern=FOLDER_NAME)
    """The first part of every structure's name, and the host in the datasets."""
    element: Element = "Mo"
    """The element whose atoms are replaced."""
    lattice: Lattice | None = None
    supercell_edge_ang: float | None = Field(None, gt=0)
    """Length of the supercell's first edge in Å."""
    repeat: tuple[int, int, int] = (1, 1, 1)
    """Conventional cells (primitive ones of hcp) along each edge."""
    c_over_a: float | None = Field(None, gt=0)
    """The hcp cell's ratio; None: the ideal one."""
    file: str | None = None
    """A structure in any format that ASE reads, its path as seen from the working directory;
    ``repeat`` is applied to it."""
    sites: tuple[int, ...] | None = None
    """Atoms of the supercell, from 0, that may be replaced; None: all of ``element``."""

    @model_validator(mode="after")
    def _consistent(self) -> HostConfig:
        if (self.lattice is None) == (self.file is None):
            raise ValueError("give either lattice or file")
        if self.lattice is not None and self.supercell_edge_ang is None:
            raise ValueError("a lattice needs supercell_edge_ang")
        if self.file is not None and self.supercell_edge_ang is not None:
            raise ValueError("a file brings its own edges; leave out supercell_edge_ang")
        if self.c_over_a is not None and self.lattice != "hcp":
            raise ValueError("c_over_a belongs to lattice hcp")
        if min(self.repeat) < 1:
            raise ValueError("repeat must be at least 1 along each edge")
        return self


class DesignConfig(Strict):
    """A set of structures to compute (``configs/design/NAME.yaml``)."""

    name: str = Field(pattern=FOLDER_NAME)
    description: str
    hosts: tuple[HostConfig, ...] = Field(min_length=1)
    dopants: tuple[Element, ...]
    pure: bool = True
    """Whether each host without dopants belongs to the set."""
    single: bool = True
    """Whether each dopant alone, on each inequivalent site, belongs to it."""
    pair_shells: tuple[int, ...] = ()
    """Neighbour shells, from 1, on which the second dopant of a pair sits; none: no pairs. They
    are counted among all atoms of the host's ``element``, whichever ``sites`` are listed."""
    vasp: str
    """Name of the VASP settings (``configs/vasp``)."""
    trajectories: str | None = None
    """The dataset that finished runs make with all their frames."""
    equilibrium: str | None = None
    """The dataset that their last frames make."""

    @model_validator(mode="after")
    def _consistent(self) -> DesignConfig:
        for field, values in (
            ("dopants", self.dopants),
            ("pair_shells", self.pair_shells),
            ("hosts", tuple(host.name for host in self.hosts)),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{field} has a value twice")
        if self.pair_shells and min(self.pair_shells) < 1:
            raise ValueError("pair_shells are counted from 1")
        for host in self.hosts:
            if host.element in self.dopants:
                raise ValueError(f"{host.element} is dopant and host element of {host.name}")
        if self.trajectories is None and self.equilibrium is None:
            raise ValueError("give trajectories, equilibrium or both")
        if self.trajectories == self.equilibrium:
            raise ValueError("trajectories and equilibrium must be two datasets, not one")
        return self


class VaspConfig(Strict):
    """Settings of VASP relaxations (``configs/vasp/NAME.yaml``)."""

    name: str
    description: str
    incar: dict[str, Scalar]
    """INCAR tags but GGA (always PE) and MAGMOM, which follows from the moments below."""
    reciprocal_density_ang3: float = Field(gt=0)
    """k-points per Å⁻³ of the reciprocal cell; the grid is centred on Gamma."""
    initial_moments_mu_b: dict[Element, float]
    other_initial_moment_mu_b: float
    """The initial moment of every element not listed above."""
    potcars: dict[Element, str]
    """Which POTCAR to take for each element; the files are the user's."""
    energy: Literal["sigma_to_zero", "free"] = "sigma_to_zero"
    """The energy that becomes the label."""


def design_config(name: str) -> DesignConfig:
    """One design of structures.

    Raises:
        UserError: If there is no such design.
    """
    return validated(DesignConfig, load_named("design", name), where=f"design={name}")


def vasp_config(name: str) -> VaspConfig:
    """One set of VASP settings.

    Raises:
        UserError: If there is no such set.
    """
    return validated(VaspConfig, load_named("vasp", name), where=f"vasp={name}")
