"""A model as the checks see it: an ASE calculator, and the elements that it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.fd import FiniteDifferenceCalculator

from mo_hpc.checks.result import CheckFailedError
from mo_hpc.core.errors import StopRequested

_STRAIN_STEP = 1e-5

_REFUSALS = (KeyError, NotImplementedError, ValueError)
"""What calculators raise for an element that they have no parameters for."""


def _goes_on() -> bool:
    return False


@dataclass(frozen=True, slots=True, eq=False)
class Potential:
    """What energies, forces and stresses come from.

    Attributes:
        calculator: An ASE calculator of energies and forces; stresses are optional.
        elements: The elements it knows; None: it does not say.
        is_to_stop: Asked before each computation.
    """

    calculator: Any
    elements: frozenset[str] | None = None
    is_to_stop: Callable[[], bool] = _goes_on

    def leave_if_asked(self) -> None:
        """Ends the check.

        Raises:
            StopRequested: If it is to stop.
        """
        if self.is_to_stop():
            raise StopRequested("The check was asked to stop; it begins anew with its task.")

    def require(self, symbols: Iterable[str]) -> None:
        """Refuses elements that the model does not know.

        Raises:
            CheckFailedError: If there is one.
        """
        if self.elements is None:
            return
        if unknown := sorted(set(symbols) - self.elements):
            raise CheckFailedError(f"The model does not know {', '.join(unknown)}.")

    @contextmanager
    def may_lack(self, symbols: Iterable[str]) -> Iterator[None]:
        """Takes an error of a calculator that does not say what it knows as its answer.

        Args:
            symbols: The elements that it may not know; the host's errors are no answer.

        Raises:
            CheckFailedError: If the calculator fails as for an element that it lacks.
        """
        try:
            yield
        except _REFUSALS as error:
            if self.elements is not None:
                raise
            names, kind = ", ".join(dict.fromkeys(symbols)), type(error).__name__
            raise CheckFailedError(f"The calculator fails for {names}: {kind}: {error}") from error

    def attached(self, atoms: Atoms) -> Atoms:
        """The atoms with this calculator; the same object.

        Raises:
            CheckFailedError: If the model does not know one of their elements.
        """
        self.require(atoms.symbols)
        atoms.calc = self.calculator
        return atoms

    def with_stress(self, atoms: Atoms) -> Atoms:
        """The atoms with a calculator of stresses too: by finite differences where it has none.

        Raises:
            CheckFailedError: If the model does not know one of their elements.
        """
        self.attached(atoms)
        if "stress" not in self.calculator.implemented_properties:
            atoms.calc = FiniteDifferenceCalculator(
                self.calculator,
                eps_disp=None,
                eps_strain=_STRAIN_STEP,
                force_consistent=False,
            )
        return atoms

    def energy_ev(self, atoms: Atoms) -> float:
        """The energy in eV.

        Raises:
            CheckFailedError: If an element is unknown, or the energy is not finite.
            StopRequested: If the check is to stop.
        """
        self.leave_if_asked()
        energy = float(self.attached(atoms).get_potential_energy())
        if not np.isfinite(energy):
            raise CheckFailedError(f"The energy of {atoms.symbols} is {energy}.")
        return energy
