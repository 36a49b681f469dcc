"""The structures of a design: every distinct doping of every host, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.build import bulk
from ase.io import read

from mo_hpc.core.design import DesignConfig, HostConfig
from mo_hpc.core.errors import UserError
from mo_hpc.data.design.symmetry import TOLERANCE_ANG, CrystalSymmetry


@dataclass(frozen=True)
class Doping:
    """One way to dope a host.

    Attributes:
        dopants: The elements, in alphabetical order.
        sites: The atoms they replace, in the same order.
        shell: On which neighbour shell of the first the second sits; 0: no pair.
        variant: What tells it from others with the same dopants and shell; empty: none.
    """

    dopants: tuple[str, ...] = ()
    sites: tuple[int, ...] = ()
    shell: int = 0
    variant: str = ""


@dataclass(frozen=True)
class DesignedStructure:
    """A structure of a design, with the name that all its files and frames carry."""

    structure_id: str
    host: str
    doping: Doping
    atoms: Atoms

    def description(self) -> dict[str, str | int]:
        """What each frame of its relaxation says about it."""
        return {
            "structure_id": self.structure_id,
            "host": self.host,
            "dopants": "-".join(self.doping.dopants) or "none",
            "n_dopants": len(self.doping.dopants),
            "shell": self.doping.shell,
        }


class Host:
    """A host's supercell, its inequivalent sites and its neighbour shells."""

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.crystal = _supercell(config)
        self._symmetry = CrystalSymmetry(self.crystal)

    @cached_property
    def sites(self) -> tuple[int, ...]:
        """The sites that may be replaced."""
        wanted, of_element = self.config.sites, self._of_element
        if wanted is None and of_element:
            return of_element
        wrong = sorted(set(wanted or ()) - set(of_element))
        if wrong or not of_element:
            raise UserError(
                f"Host '{self.config.name}' has no {self.config.element} "
                + (f"on site {wrong[0]}." if wrong else "at all."),
                where=f"hosts: {self.config.name}",
                valid=of_element,
                remedy="Set 'element' to what is to be replaced, 'sites' to atoms of it.",
            )
        return tuple(sorted(set(wanted or ())))

    @cached_property
    def inequivalent_sites(self) -> tuple[int, ...]:
        """One site of each kind that symmetry leaves different."""
        kinds: dict[int, int] = {}
        for site in self.sites:
            kinds.setdefault(self._symmetry.first_equivalent(site), site)
        return tuple(kinds.values())

    @cached_property
    def shell_radii_ang(self) -> tuple[float, ...]:
        """The distances between atoms of the element in Å, each once, ascending.

        All its atoms count, not the listed sites alone: a shell is the crystal's.
        """
        found = np.unique(self._distances_ang)
        found = found[found > TOLERANCE_ANG]
        steps = np.diff(found, prepend=-np.inf) > TOLERANCE_ANG
        return tuple(float(radius) for radius in found[steps])

    def pairs(self, shell: int) -> list[tuple[int, int]]:
        """One ordered pair of sites of each kind on a shell, the lowest numbers first.

        Raises:
            UserError: If the supercell is too small to have that shell, or no two of the
                listed sites are on it.
        """
        pairs = self._all_pairs(shell)
        if not pairs:
            raise UserError(
                f"No two of the sites of host '{self.config.name}' are on neighbour shell {shell} "
                "of each other.",
                where="pair_shells",
                valid=[n + 1 for n in range(len(self.shell_radii_ang)) if self._all_pairs(n + 1)],
                remedy="List more sites of the host in 'sites', or leave the shell out.",
            )
        kinds: dict[tuple[int, int], tuple[int, int]] = {}
        for pair in pairs:
            kinds.setdefault(self._symmetry.first_equivalent_pair(*pair), pair)
        return list(kinds.values())

    def _all_pairs(self, shell: int) -> list[tuple[int, int]]:
        radii = self.shell_radii_ang
        if shell > len(radii):
            raise UserError(
                f"Host '{self.config.name}' has no neighbour shell {shell}: in its supercell "
                f"{self.config.element} atoms have {len(radii)} distances.",
                where="pair_shells",
                remedy="Repeat the host's cell more often, or leave the shell out.",
            )
        beyond = radii[shell] if shell < len(radii) else np.inf
        rows = np.searchsorted(self._of_element, self.sites)
        distances = self._distances_ang[np.ix_(rows, rows)]
        on_shell = (distances >= radii[shell - 1]) & (distances < beyond)
        return [(self.sites[first], self.sites[second]) for first, second in np.argwhere(on_shell)]

    def is_lower_order(self, first: int, second: int) -> bool:
        """Whether a pair of one element is to be taken in this order: both stand for the same."""
        kind = self._symmetry.first_equivalent_pair
        return kind(first, second) <= kind(second, first)

    @cached_property
    def _of_element(self) -> tuple[int, ...]:
        found = np.flatnonzero(self.crystal.symbols == self.config.element)
        return tuple(int(site) for site in found)

    @cached_property
    def _distances_ang(self) -> npt.NDArray[np.float64]:
        """Between atoms of the element, to the nearest image, in Å, shape (n_atoms, n_atoms)."""
        chosen = self.crystal[list(self._of_element)]
        return np.asarray(chosen.get_all_distances(mic=True), dtype=np.float64)


def designed_structures(design: DesignConfig) -> Iterator[DesignedStructure]:
    """All structures of a design, host by host, in the order pure, single, pairs.

    Raises:
        UserError: If a host cannot be read, has no site to replace, or lacks a shell.
    """
    for config in design.hosts:
        host = Host(config)
        for doping in _dopings(design, host):
            yield _structure(host, doping)


def _dopings(design: DesignConfig, host: Host) -> Iterator[Doping]:
    if design.pure:
        yield Doping()
    sites = host.inequivalent_sites
    if design.single:
        for dopant in sorted(design.dopants):
            for site in sites:
                yield Doping((dopant,), (site,), variant=f"site{site}" if len(sites) > 1 else "")
    kinds_on = {shell: host.pairs(shell) for shell in design.pair_shells}
    for pair in combinations_with_replacement(sorted(design.dopants), 2):
        for shell, kinds in kinds_on.items():
            yield from _pairs(host, pair, shell, kinds)


def _pairs(
    host: Host, dopants: tuple[str, str], shell: int, kinds: Sequence[tuple[int, int]]
) -> Iterator[Doping]:
    variants = [f"{first}-{second}" if len(kinds) > 1 else "" for first, second in kinds]
    for sites, variant in zip(kinds, variants, strict=True):
        if dopants[0] != dopants[1] or host.is_lower_order(*sites):
            yield Doping(dopants, sites, shell, variant)


def _structure(host: Host, doping: Doping) -> DesignedStructure:
    atoms = host.crystal.copy()
    for site, dopant in zip(doping.sites, doping.dopants, strict=True):
        atoms.symbols[site] = dopant
    undoped = host.crystal.symbols.get_chemical_formula("metal", empirical=True)
    parts = [host.config.name, "-".join(doping.dopants) or undoped]
    parts += [f"{doping.shell}nn"] if doping.shell else []
    parts += [doping.variant] if doping.variant else []
    return DesignedStructure("_".join(parts), host.config.name, doping, _element_by_element(atoms))


def _element_by_element(atoms: Atoms) -> Atoms:
    """The atoms in the order of a POSCAR, so that a run's frames have that of the structure."""
    order = _element_order(atoms.get_chemical_symbols())
    ranks = [order.index(symbol) for symbol in atoms.get_chemical_symbols()]
    return atoms[np.argsort(ranks, kind="stable")]


def _element_order(symbols: Sequence[str]) -> list[str]:
    counts = {symbol: symbols.count(symbol) for symbol in symbols}
    return sorted(counts, key=lambda symbol: (-counts[symbol], symbol))


def _supercell(config: HostConfig) -> Atoms:
    if config.file is not None:
        cell = _from_file(Path(config.file).expanduser(), config.name)
    else:
        assert config.lattice is not None
        assert config.supercell_edge_ang is not None
        edge = config.supercell_edge_ang / config.repeat[0]
        if config.lattice == "hcp":
            ratio = config.c_over_a or np.sqrt(8 / 3)
            cell = bulk(config.element, "hcp", a=edge, c=edge * ratio)
        else:
            cell = bulk(config.element, config.lattice, a=edge, cubic=True)
    crystal = cell * config.repeat
    return Atoms(
        numbers=crystal.numbers, positions=crystal.positions, cell=crystal.cell.array, pbc=True
    )


def _from_file(path: Path, host: str) -> Atoms:
    try:
        crystal = read(path)
    except FileNotFoundError:
        raise UserError(f"There is no file '{path}'.", where=f"hosts: {host}: file") from None
    except Exception as error:
        raise UserError(
            f"The structure cannot be read: {type(error).__name__}: {error}.",
            where=f"hosts: {host}: file: {path}",
        ) from error
    assert isinstance(crystal, Atoms)
    if not crystal.cell.volume:
        raise UserError("The structure has no periodic cell.", where=f"hosts: {host}: file: {path}")
    return crystal
