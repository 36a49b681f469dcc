"""Readers: from a file to ASE frames that carry labels under the configured keys.

A reader opens one file. It does not judge what it finds: a frame without labels comes back
without labels, and `mo_hpc.data.check` says so. To add a reader, satisfy `Reader`, name the
class in `mo_hpc.core.registry.READERS` and let its test inherit the contract test.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from mo_hpc.core.errors import UserError
from mo_hpc.core.registry import READERS, load
from mo_hpc.core.schema import DatasetConfig

if TYPE_CHECKING:
    from ase import Atoms


class Reader(Protocol):
    """Reads all frames of one file, in file order.

    Each frame's total energy in eV is in ``info[config.keys.energy]`` and its forces in eV/Å,
    shape (n_atoms, 3), in ``arrays[config.keys.forces]``, where the file has them; what
    ``group_key``, ``host_key`` and ``tag_keys`` name is in ``info``.
    """

    def read(self, path: Path, config: DatasetConfig) -> Iterator[Atoms]:
        """Yields the frames of a file.

        Raises:
            UserError: If the file cannot be parsed; says at which frame.
        """


class ExtxyzReader:
    """Extended XYZ, plain or gzipped."""

    def read(self, path: Path, config: DatasetConfig) -> Iterator[Atoms]:
        """See `Reader`."""
        from ase.io.extxyz import read_xyz

        with _parsing(path) as position:
            # ASE seeks backwards in the stream, which a gzip file answers by reading anew
            # from its start: quadratic in the file's length. A StringIO seeks for nothing.
            stream = io.StringIO(_text(path))
            for frame in read_xyz(stream, slice(None)):
                if not len(frame):
                    raise ValueError("the frame has no atoms")
                yield _with_calculator_labels(frame, config, only_named=True)
                position.advance()


class SnapJsonReader:
    """The JSON layout of the materialsvirtuallab SNAP repositories (pymatgen structures).

    A frame's ``info`` carries ``file`` (the file's stem), ``kind`` (from the stem's ending),
    ``relaxed`` (binaries only) and ``run``: the relaxed and unrelaxed frame of one structure,
    or the frames of one molecular-dynamics run (one volume and temperature), share it.
    """

    KINDS: Mapping[str, str] = {
        "ss": "substituted",
        "aimd": "aimd",
        "elastic": "elastic",
        "surface": "surface",
    }

    def read(self, path: Path, config: DatasetConfig) -> Iterator[Atoms]:
        """See `Reader`."""
        with _parsing(path) as position:
            records: list[dict[str, Any]] = json.loads(_text(path))
            for number, record in enumerate(records):
                yield self._frame(record, path.name.split(".")[0], number, config)
                position.advance()

    def _frame(
        self, record: Mapping[str, Any], stem: str, number: int, config: DatasetConfig
    ) -> Atoms:
        from ase import Atoms

        structure, outputs = record["structure"], record.get("outputs", {})
        sites = structure["sites"]
        frame = Atoms(
            symbols=[site["species"][0]["element"] for site in sites],
            positions=[site["xyz"] for site in sites],
            cell=structure["lattice"]["matrix"],
            pbc=True,
        )
        frame.info.update(self._description(record, stem, number))
        if outputs.get("energy") is not None:
            frame.info[config.keys.energy] = float(outputs["energy"])
        if outputs.get("forces"):
            frame.arrays[config.keys.forces] = np.asarray(outputs["forces"], dtype=float)
        return frame

    def _description(self, record: Mapping[str, Any], stem: str, number: int) -> dict[str, Any]:
        ending = stem.rpartition("_")[2].lower()
        kind = self.KINDS.get(ending, ending)
        note, value = next(iter((record.get("notes") or {}).items()), ("", ""))
        described: dict[str, Any] = {"file": stem, "kind": kind}
        if note in ("relax", "unrelax"):
            described |= {"relaxed": note == "relax", "run": f"{stem}/{value}"}
        elif kind == "aimd":
            described["run"] = f"{stem}/{note}-{value.rpartition('-')[0]}"
        else:
            described["run"] = f"{stem}/{number}"
        return described


class AseReader:
    """Any other format that ASE reads (OUTCAR, vasprun.xml, traj, db, …)."""

    def read(self, path: Path, config: DatasetConfig) -> Iterator[Atoms]:
        """See `Reader`."""
        from ase.io import iread
        from ase.io.formats import UnknownFileTypeError

        with _parsing(path) as position:
            try:
                for frame in iread(path, ":"):
                    yield _with_calculator_labels(frame, config, only_named=False)
                    position.advance()
            except UnknownFileTypeError:
                raise UserError(
                    f"The file '{path.name}' is not in a format ASE knows.",
                    where=str(path),
                    remedy="Convert it to extended XYZ, and give it a name that ends with .xyz.",
                ) from None


def read_file(path: Path, config: DatasetConfig) -> Iterator[Atoms]:
    """Reads a file with the dataset's reader.

    Raises:
        UserError: If the reader is unknown or the file cannot be parsed.
    """
    reader: Reader = load(READERS, "reader", config.reader)()
    return reader.read(path, config)


def _text(path: Path) -> str:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as handle:
        return str(handle.read())


def _with_calculator_labels(frame: Atoms, config: DatasetConfig, *, only_named: bool) -> Atoms:
    """Puts labels that ASE moved into a calculator back under the configured keys.

    ASE's extended XYZ parser takes ``energy`` and ``forces`` out of ``info`` and ``arrays``.
    With ``only_named`` they count only if the configuration names these very keys, since a
    file of reference labels under ``REF_…`` may carry another model's under ``energy``.
    """
    results = frame.calc.results if frame.calc is not None else {}
    keys = config.keys
    if "energy" in results and (keys.energy == "energy" or not only_named):
        frame.info.setdefault(keys.energy, float(results["energy"]))
    if "forces" in results and (keys.forces == "forces" or not only_named):
        frame.arrays.setdefault(keys.forces, np.asarray(results["forces"], dtype=float))
    return frame


class _parsing:  # noqa: N801 - a context manager that reads as a statement
    """Turns whatever a parser raises into one message with the file and the frame."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frame = 0

    def __enter__(self) -> Self:
        return self

    def advance(self) -> None:
        """Counts a frame that was read."""
        self._frame += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if error is None or isinstance(error, (UserError, GeneratorExit)):
            return
        if isinstance(error, Exception):
            raise UserError(
                f"The file cannot be read: {type(error).__name__}: {error}.",
                where=f"{self._path}, frame {self._frame}",
                remedy="Repair or remove that frame; a file cut short by a full disk or an "
                "interrupted copy has to be copied again.",
            ) from error
