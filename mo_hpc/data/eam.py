"""Embedded-atom energies and forces as a fast, synthetic labeller.

The potential of Zhou, Johnson and Wadley, Phys. Rev. B 69, 144113 (2004)::

    E = sum_i F_i(rho_i) + 1/2 sum_{i != j} phi_ij(r_ij),     rho_i = sum_j f_j(r_ij)
    f(r)   = f_e exp(-beta (r/r_e - 1)) / (1 + (r/r_e - lambda)^20)
    phi(r) = A exp(-alpha (r/r_e - 1)) / (1 + (r/r_e - kappa)^20) - (B / f_e) f(r)
    phi_ab = 1/2 (f_b/f_a phi_aa + f_a/f_b phi_bb)

with a piecewise embedding function F. Beyond the paper, everything is taken smoothly to zero
over the last 0.5 Å before the cutoff, so that forces are exact derivatives.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols
from matscipy.neighbours import neighbour_list

from mo_hpc.core.errors import UserError
from mo_hpc.data.eam_parameters import EAM_PARAMETERS, EamParameters
from mo_hpc.data.neighbours import sum_per_atom

Array = npt.NDArray[np.float64]
ValueAndSlope = tuple[Array, Array]

CUTOFF_ANG = 6.5
_TAPER_START_ANG = 6.0


class EamCalculator(Calculator):  # type: ignore[misc]  # ASE has no type information
    """ASE calculator of the potential: energy in eV and forces in eV/Å."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Computes energy and forces (the interface of ASE's calculators).

        Raises:
            UserError: If the potential has no parameters for an element.
        """
        super().calculate(atoms, properties or ["energy"], system_changes)
        energy, forces = energy_and_forces(self.atoms)
        self.results = {"energy": energy, "forces": forces}


def energy_and_forces(atoms: Atoms) -> tuple[float, Array]:
    """Energy in eV and forces in eV/Å, shape (n_atoms, 3).

    Raises:
        UserError: If the potential has no parameters for an element.
    """
    elements = _elements(atoms)
    first, second, distances, vectors = neighbour_list("ijdD", atoms, CUTOFF_ANG)
    n_atoms = len(atoms)
    kinds = np.searchsorted(np.unique(atoms.numbers), atoms.numbers)
    density_of_second = _by_kind(kinds[second], elements, distances)
    density_of_first = _by_kind(kinds[first], elements, distances)
    pair = _pair_energies(kinds[first], kinds[second], elements, distances)
    rho = sum_per_atom(first, density_of_second[0], n_atoms)
    embedding, embedding_slope = _embedding(rho, kinds, elements)
    energy = float(embedding.sum() + 0.5 * pair[0].sum())
    slopes = (
        embedding_slope[first] * density_of_second[1]
        + embedding_slope[second] * density_of_first[1]
        + pair[1]
    )
    pulls = (slopes / distances)[:, None] * vectors
    forces = np.stack([sum_per_atom(first, pulls[:, axis], n_atoms) for axis in range(3)], axis=1)
    return energy, forces


def _elements(atoms: Atoms) -> list[EamParameters]:
    symbols = [chemical_symbols[number] for number in np.unique(atoms.numbers)]
    if missing := [symbol for symbol in symbols if symbol not in EAM_PARAMETERS]:
        raise UserError(
            f"The embedded-atom potential has no parameters for {', '.join(missing)}.",
            valid=sorted(EAM_PARAMETERS),
        )
    return [EAM_PARAMETERS[symbol] for symbol in symbols]


def _by_kind(
    kinds: npt.NDArray[np.int64], elements: list[EamParameters], distances: Array
) -> ValueAndSlope:
    """The density that an atom of each pair's given kind casts at the other."""
    value, slope = np.zeros_like(distances), np.zeros_like(distances)
    for kind, element in enumerate(elements):
        chosen = kinds == kind
        value[chosen], slope[chosen] = _tapered(
            distances[chosen], _density(distances[chosen], element)
        )
    return value, slope


def _pair_energies(
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    elements: list[EamParameters],
    distances: Array,
) -> ValueAndSlope:
    value, slope = np.zeros_like(distances), np.zeros_like(distances)
    for kind_a, a in enumerate(elements):
        for kind_b, b in enumerate(elements):
            chosen = (first == kind_a) & (second == kind_b)
            r = distances[chosen]
            mixed = _mixed(r, a, b) if kind_a != kind_b else _pair(r, a)
            value[chosen], slope[chosen] = _tapered(r, mixed)
    return value, slope


def _mixed(r: Array, a: EamParameters, b: EamParameters) -> ValueAndSlope:
    (f_a, df_a), (f_b, df_b) = _density(r, a), _density(r, b)
    (phi_a, dphi_a), (phi_b, dphi_b) = _pair(r, a), _pair(r, b)
    ratio = f_b / f_a
    d_ratio = (df_b - ratio * df_a) / f_a
    value = 0.5 * (ratio * phi_a + phi_b / ratio)
    slope = 0.5 * (d_ratio * phi_a + ratio * dphi_a + dphi_b / ratio - phi_b * d_ratio / ratio**2)
    return value, slope


def _density(r: Array, element: EamParameters) -> ValueAndSlope:
    return _screened(r, element.re, element.fe, element.beta, element.lambda_)


def _pair(r: Array, element: EamParameters) -> ValueAndSlope:
    repulsion = _screened(r, element.re, element.a, element.alpha, element.kappa)
    attraction = _screened(r, element.re, element.b, element.beta, element.lambda_)
    return repulsion[0] - attraction[0], repulsion[1] - attraction[1]


def _screened(r: Array, re: float, height: float, decay: float, shift: float) -> ValueAndSlope:
    x = r / re
    screen = 1.0 + (x - shift) ** 20
    value = height * np.exp(-decay * (x - 1.0)) / screen
    slope = -value * (decay + 20.0 * (x - shift) ** 19 / screen) / re
    return value, slope


def _tapered(r: Array, function: ValueAndSlope) -> ValueAndSlope:
    """Multiplies by 1 - 10 t^3 + 15 t^4 - 6 t^5, which is smooth to second order at both ends."""
    width = CUTOFF_ANG - _TAPER_START_ANG
    t = np.clip((r - _TAPER_START_ANG) / width, 0.0, 1.0)
    taper = 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t**2)
    taper_slope = -30.0 * t**2 * (1.0 - t) ** 2 / width
    value, slope = function
    return value * taper, slope * taper + value * taper_slope


def _embedding(
    rho: Array, kinds: npt.NDArray[np.int64], elements: list[EamParameters]
) -> ValueAndSlope:
    value, slope = np.zeros_like(rho), np.zeros_like(rho)
    for kind, element in enumerate(elements):
        chosen = kinds == kind
        value[chosen], slope[chosen] = _embedding_of(rho[chosen], element)
    return value, slope


def _embedding_of(rho: Array, element: EamParameters) -> ValueAndSlope:
    rho_n, rho_0 = 0.85 * element.rho_e, 1.15 * element.rho_e
    low = _polynomial(rho, element.fn, rho_n)
    middle = _polynomial(rho, element.f, element.rho_e)
    high = _logarithmic(rho, element)
    choices: list[Any] = [rho < rho_n, rho < rho_0]
    return (
        np.select(choices, [low[0], middle[0]], high[0]),
        np.select(choices, [low[1], middle[1]], high[1]),
    )


def _polynomial(
    rho: Array, coefficients: tuple[float, float, float, float], centre: float
) -> ValueAndSlope:
    x = rho / centre - 1.0
    c0, c1, c2, c3 = coefficients
    value = c0 + x * (c1 + x * (c2 + x * c3))
    return value, (c1 + x * (2.0 * c2 + x * 3.0 * c3)) / centre


def _logarithmic(rho: Array, element: EamParameters) -> ValueAndSlope:
    x = np.maximum(rho, 1e-12) / element.rho_s
    power = x**element.eta
    log = np.log(x)
    value = element.f_e * (1.0 - element.eta * log) * power
    slope = -element.f_e * element.eta**2 * log * power / (x * element.rho_s)
    return value, slope
