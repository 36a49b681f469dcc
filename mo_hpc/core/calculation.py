"""What computes energies and forces without DFT, and of which structures: settings of labelling."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field, model_validator

from mo_hpc.core.elements import Element
from mo_hpc.core.strict import Strict

EAM = "mo_hpc.data.eam:EamCalculator"
"""The calculator where none is named."""

_EAM_LABELS = "EAM Zhou 2004 (synthetic)"


class CalculatorConfig(Strict):
    """What computes energies and forces; with neither factory nor model, the built-in EAM."""

    name: str | None = Field(None, pattern=r"^[^\s\p{C}]([^\p{C}\p{Zl}\p{Zp}]*[^\s\p{C}])?$")
    """What frames and tables call its labels, in one line; None: what it is made from."""
    factory: str | None = Field(None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """``module:factory`` of any ASE calculator: code that is imported and called."""
    model: str | None = None
    """Registered name or path of a MACE model, which is opened if its hash was accepted."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the factory, or of MACE's own calculator."""

    @model_validator(mode="after")
    def _consistent(self) -> CalculatorConfig:
        if self.factory is not None and self.model is not None:
            raise ValueError("give either factory or model")
        return self

    @property
    def is_eam(self) -> bool:
        """Whether it is the built-in embedded-atom potential."""
        return self.model is None and self.factory in (None, EAM)

    @property
    def labels(self) -> str:
        """What frames and tables call its labels."""
        if self.name is not None:
            return self.name
        if self.is_eam:
            return _EAM_LABELS
        made_from = PurePath(self.model).stem if self.model else str(self.factory).split(":")[1]
        arguments = ", ".join(f"{name}={value}" for name, value in sorted(self.kwargs.items()))
        return f"{made_from} ({arguments})" if arguments else made_from


class RelaxationConfig(Strict):
    """How structures are relaxed; their cells stay as they are."""

    optimizer: Literal["none", "FIRE", "BFGS", "LBFGS"] = "FIRE"
    """An optimizer of ASE; ``none``: the structures as they are, one frame each."""
    fmax_ev_per_ang: float = Field(0.02, gt=0)
    """The largest force on an atom of a relaxed structure."""
    max_steps: int = Field(500, ge=1)
    """A relaxation that takes more is recorded as not converged."""


class LabelConfig(Strict):
    """Which structures are labelled, and how."""

    design: str | None = None
    """Name of the design (``configs/design``)."""
    dopants: tuple[Element, ...] | None = None
    """Only its structures with no other dopants than these; None: all."""
    structures_per_task: int = Field(1, ge=1)
    relaxation: RelaxationConfig = RelaxationConfig()
