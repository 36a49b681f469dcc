"""Check: whether the BCC host holds in molecular dynamics, and whether energy is conserved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from scipy.spatial import cKDTree

from mo_hpc.checks.defects import DefectCell
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.result import CheckFailedError, CheckResult, Curve, Value
from mo_hpc.core.checks import CheckConfig

_NAMES = (
    "energy_drift_mev_per_atom_per_ps",
    "energy_fluctuation_mev_per_atom",
    "mean_temperature_k",
    "smallest_distance_ang",
    "n_atoms_off_site",
)
_RUNAWAY = 20.0
"""A kinetic energy above this multiple of the first one is an explosion, and the run ends."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What was noted at every step: time in ps, energies in eV/atom, temperature in K."""

    times: Array
    energies: Array
    temperatures: Array
    smallest_ang: float
    n_off_site: int


def stability(potential: Potential, settings: CheckConfig) -> CheckResult:
    """A run of constant energy from the perfect crystal.

    Velocities are drawn at twice the wanted temperature, half of which goes into the positions.
    Exact dynamics has no drift; what is left is the time step's, or that of forces which are not
    the derivative of the energy. An atom is on its site as long as no other site is nearer.
    """
    try:
        cell = DefectCell(potential, settings)
        found = _run(cell.crystal, potential, settings)
    except CheckFailedError as error:
        problem = str(error)
        return CheckResult(tuple(Value(name, None, "", problem) for name in _NAMES), (), problem)
    return CheckResult(_values(found), (_curve(found),), _verdict(found, len(cell.crystal)))


def _run(sites: Atoms, potential: Potential, settings: CheckConfig) -> _Run:
    atoms = potential.attached(sites.copy())
    _start(atoms, settings)
    first = float(atoms.get_kinetic_energy())
    dynamics = VelocityVerlet(atoms, timestep=settings.timestep_fs * units.fs)
    noted: list[tuple[float, float, float]] = []
    smallest = np.inf
    for step, _ in enumerate(dynamics.irun(settings.equilibration_steps + settings.md_steps)):
        potential.leave_if_asked()
        kinetic, potential_ev = atoms.get_kinetic_energy(), atoms.get_potential_energy()
        if not np.isfinite(kinetic + potential_ev) or kinetic > _RUNAWAY * first:
            raise CheckFailedError(
                f"The crystal explodes: at step {step} of {settings.timestep_fs:g} fs the "
                f"temperature is {atoms.get_temperature():.3g} K."
            )
        if step < settings.equilibration_steps:
            continue
        time_ps = step * settings.timestep_fs / 1e3
        noted.append((time_ps, (kinetic + potential_ev) / len(atoms), atoms.get_temperature()))
        smallest = min(smallest, _smallest_distance_ang(atoms))
    times, energies, temperatures = np.array(noted, dtype=np.float64).T
    return _Run(times, energies, temperatures, smallest, _n_off_site(atoms, sites))


def _start(atoms: Atoms, settings: CheckConfig) -> None:
    """Velocities of Maxwell's distribution without a common motion, of exactly the temperature."""
    rng = np.random.default_rng(settings.seed)
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses())[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    atoms.set_momenta(
        atoms.get_momenta() * np.sqrt(2 * settings.temperature_k / atoms.get_temperature())
    )


def _smallest_distance_ang(atoms: Atoms) -> float:
    """The smallest distance of two atoms in an orthorhombic cell, in Å."""
    edges = atoms.cell.lengths()
    positions = _wrapped(atoms.positions, edges)
    distances, _ = cKDTree(positions, boxsize=edges).query(positions, k=2)
    return float(distances[:, 1].min())


def _n_off_site(atoms: Atoms, sites: Atoms) -> int:
    """How many atoms have come nearer to another site than to their own."""
    edges = sites.cell.lengths()
    drifted = (atoms.positions - sites.positions).mean(axis=0)
    tree = cKDTree(_wrapped(sites.positions, edges), boxsize=edges)
    _, nearest = tree.query(_wrapped(atoms.positions - drifted, edges))
    return int((nearest != np.arange(len(sites))).sum())


def _wrapped(positions: Array, edges: Array) -> Array:
    # What lies a rounding error below 0 is wrapped to the edge itself, which is outside the box.
    return np.asarray(np.mod(np.mod(positions, edges), edges))


def _values(found: _Run) -> tuple[Value, ...]:
    slope, level = np.polyfit(found.times, found.energies, 1)
    rest = found.energies - (slope * found.times + level)
    numbers = (
        1e3 * slope,
        1e3 * rest.std(),
        found.temperatures.mean(),
        found.smallest_ang,
        found.n_off_site,
    )
    return tuple(Value(name, float(x)) for name, x in zip(_NAMES, numbers, strict=True))


def _verdict(found: _Run, n_atoms: int) -> str:
    drift = _values(found)[0].value
    after = f"after {found.times[-1]:.2f} ps at {found.temperatures.mean():.0f} K"
    kept = (
        f"The crystal holds: {after} each of {n_atoms} atoms is nearest to its own site"
        if found.n_off_site == 0
        else f"The crystal does not hold: {after} {found.n_off_site} of {n_atoms} atoms have left "
        "their sites"
    )
    return f"{kept}; total energy drifts by {drift:+.3f} meV/atom/ps."


def _curve(found: _Run) -> Curve:
    columns = {
        "time_ps": tuple(map(float, found.times)),
        "total_energy_ev_per_atom": tuple(map(float, found.energies)),
        "temperature_k": tuple(map(float, found.temperatures)),
    }
    return Curve("stability", "bcc", columns)
