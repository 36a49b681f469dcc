"""What a program left in a structure's folder: the steps, and what it says of its course."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read

_ELECTRONS_CONVERGED = "aborting loop because EDIFF is reached"
_OUTCAR_STEP = "FREE ENERGIE OF THE ION-ELECTRON SYSTEM"
_OUTCAR_END = "General timing and accounting informations for this job"


class RunProblem(Exception):
    """Why a run gives no frames, as one sentence; ``state`` sorts such sentences."""

    def __init__(self, state: str, sentence: str) -> None:
        super().__init__(sentence)
        self.state = state


@dataclass(frozen=True)
class Run:
    """A run that came to its own end.

    Attributes:
        source: The name of the file it was read from.
        frames: All steps, with ASE's results of the calculation.
        electrons_converged: One value for each step.
        max_steps: How many steps it was allowed; 0: a single point; None: not known.
        ediffg: The criterion of the relaxation, as VASP has it: negative in eV/Å; None: not
            known.
        declared: Whether the program says that it converged; None: it does not say.
    """

    source: str
    frames: tuple[Atoms, ...]
    electrons_converged: tuple[bool, ...]
    max_steps: int | None = None
    ediffg: float | None = None
    declared: bool | None = None


def read_run(folder: Path) -> Run:
    """Reads ``vasprun.xml``, ``OUTCAR`` or ``trajectory.xyz``, the first there is.

    Each may have ``.gz`` behind its name.

    Raises:
        RunProblem: If there is none, it is cut short, or it is damaged.
        PermissionError: If it may not be read.
    """
    path = _result_file(folder)
    try:
        run = READERS[path.name.removesuffix(".gz")](path)
    # Parsers and gzip tell of damage with errors derived from OSError, too.
    except (RunProblem, PermissionError):
        raise
    except Exception as error:
        problem = f"{path.name} cannot be read: {type(error).__name__}: {error}."
        raise RunProblem("unreadable", problem) from error
    if not run.frames or len(run.electrons_converged) != len(run.frames):
        whole, begun = len(run.frames), len(run.electrons_converged)
        problem = f"{path.name} has {begun} steps, of which {whole} are whole."
        raise RunProblem("unreadable", problem)
    return run


def _result_file(folder: Path) -> Path:
    for name in READERS:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise RunProblem("missing", f"There is none of {', '.join(READERS)}.")


def _read_vasprun(path: Path) -> Run:
    text = _text(path)
    if not text.rstrip().endswith("</modeling>"):
        raise _cut_short(path)
    n_electronic_max = int(_xml_value(text, "NELM"))
    # A loop of NELM steps may have ended there by chance; VASP does not say in this file.
    electronic = [step.count("<scstep>") for step in text.split("<calculation>")[1:]]
    return Run(
        path.name,
        _frames(path, "vasp-xml"),
        tuple(n_steps < n_electronic_max for n_steps in electronic),
        max_steps=int(_xml_value(text, "NSW")),
        ediffg=float(_xml_value(text, "EDIFFG")),
    )


def _read_outcar(path: Path) -> Run:
    text = _text(path)
    if _OUTCAR_END not in text:
        raise _cut_short(path)
    before_each_step = text.split(_OUTCAR_STEP)[:-1]
    return Run(
        path.name,
        _frames(path, "vasp-out"),
        tuple(_ELECTRONS_CONVERGED in part for part in before_each_step),
        max_steps=int(_outcar_value(text, "NSW")),
        ediffg=float(_outcar_value(text, "EDIFFG")),
    )


def _read_extxyz(path: Path) -> Run:
    frames = _frames(path, "extxyz")
    declared = frames[-1].info.get("converged") if frames else None
    if declared is not None and not isinstance(declared, bool | np.bool_):
        problem = f"{path.name} says converged={declared}; it must be T or F."
        raise RunProblem("unreadable", problem)
    return Run(
        path.name,
        frames,
        (True,) * len(frames),
        declared=None if declared is None else bool(declared),
    )


READERS = {
    "vasprun.xml": _read_vasprun,
    "OUTCAR": _read_outcar,
    "trajectory.xyz": _read_extxyz,
}


def _cut_short(path: Path) -> RunProblem:
    return RunProblem("unfinished", f"{path.name} is cut short: the run has not come to its end.")


def _frames(path: Path, file_format: str) -> tuple[Atoms, ...]:
    frames = read(path, index=":", format=file_format)
    assert isinstance(frames, list)
    return tuple(frames)


def _text(path: Path) -> str:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as handle:
        return str(handle.read())


def _xml_value(text: str, tag: str) -> str:
    return _last_value(re.findall(rf'<i[^>]* name="{tag}">\s*(\S+?)\s*</i>', text), tag)


def _outcar_value(text: str, tag: str) -> str:
    return _last_value(re.findall(rf"^\s*{tag}\s*=\s*([-+.\dEe]+)", text, re.MULTILINE), tag)


def _last_value(found: Sequence[str], tag: str) -> str:
    if not found:
        raise RunProblem("unreadable", f"It does not say {tag}.")
    return found[-1]
