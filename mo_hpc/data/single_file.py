"""A dataset configuration for one file that is not registered, for ``check FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mo_hpc.core.schema import DatasetConfig, LabelKeys, SourceConfig

ReaderName = Literal["extxyz", "snap_json", "ase"]

_SUFFIXES: dict[str, ReaderName] = {
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".exyz": "extxyz",
    ".json": "snap_json",
}


def file_config(path: Path, *, energy_key: str | None, forces_key: str | None) -> DatasetConfig:
    """Describes a file by its suffix; what is not extended XYZ or SNAP JSON is ASE's to read.

    Args:
        path: The file.
        energy_key: Name of the total energy in eV; None: ``REF_energy``.
        forces_key: Name of the forces in eV/Å; None: ``REF_forces``.
    """
    default = LabelKeys()
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    return DatasetConfig(
        name=path.name,
        description="a file",
        reader=_SUFFIXES.get(suffixes[-1].lower() if suffixes else "", "ase"),
        files=(path.name,),
        keys=LabelKeys(energy=energy_key or default.energy, forces=forces_key or default.forces),
        group_key="structure_id",
        host_key="host",
        labels="unknown",
        source=SourceConfig(kind="local", how_to_get="It is your own file.", licence="unknown"),
    )
