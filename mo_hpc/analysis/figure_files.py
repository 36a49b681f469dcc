"""One figure of a run: where it lies, what it shows, what it is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mo_hpc.analysis.notes import caption, named_labels
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.settings import FOLD, MOST_OF_A_FOLD, SETTINGS, SHOTS, described, slug
from mo_hpc.analysis.style import figure_paths, publication_style, write_figure

_OF_NEW_ELEMENTS = ("new_elements", "new_element_energy")


@dataclass(frozen=True, slots=True)
class FigureFile:
    """One figure of a run, drawn or not.

    Attributes:
        folder: Where its files are.
        name: Their name without ending.
        caption: What it shows.
        tasks: The tasks that leave marks of their own in it.
        draw: Draws it.
    """

    folder: Path
    name: str
    caption: str
    tasks: tuple[str, ...]
    draw: Callable[[], Figure]

    @property
    def paths(self) -> tuple[Path, Path]:
        """Its files, print first."""
        return figure_paths(self.folder, self.name)

    def write(self) -> None:
        """Draws it and writes its files; equal records give equal bytes.

        Raises:
            UserError: If the predictions of a task are missing or not those of its record.
        """
        with publication_style():
            write_figure(self.draw(), self.folder, self.name)


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Tasks that share a figure of each kind.

    Attributes:
        records: The run.
        tasks: The tasks, done or not, one row each.
        values: Their settings.
        naming: The settings that file names need.
    """

    records: RunRecords
    tasks: pd.DataFrame
    values: Mapping[str, Any]
    naming: Sequence[str]

    def figure(
        self,
        kind: str,
        text: str,
        draw: Callable[[pd.DataFrame], Figure],
        *,
        one_by_one: bool = True,
    ) -> Iterator[FigureFile]:
        """The figure of one kind; none before any of the tasks is done.

        Args:
            kind: Beginning of the file name.
            text: Beginning of the caption.
            draw: Draws the tasks that are done.
            one_by_one: Whether every task leaves marks of its own; of many repeats and seeds
                the first are drawn, and the caption says so.
        """
        done = self.tasks[self.tasks["state"] == "done"]
        if len(done):
            name, description = named_by(self.values, self.naming)
            whole = figure_caption(self.records, done, f"{text}: {description}")
            drawn = _first_of_each_fold(done) if one_by_one else done
            if len(drawn) < len(done):
                whole += (
                    f" Drawn: {len(drawn)} of {len(done)} tasks, the first {MOST_OF_A_FOLD} "
                    "repeats and seeds of each fold."
                )
            yield FigureFile(
                folder=self.records.run.figures,
                name=f"{kind}_{name}",
                caption=whole,
                tasks=tuple(drawn["task_id"]) if one_by_one else (),
                draw=partial(draw, drawn),
            )


def named_by(values: Mapping[str, Any], naming: Sequence[str]) -> tuple[str, str]:
    """File name ending and description of a combination of settings."""
    leading = ("protocol", "paradigm", "dataset", "size", "energy_reference", *naming)
    described_values = {name: values[name] for name in dict.fromkeys(leading) if name in values}
    return slug({name: values[name] for name in naming}), described(described_values)


def figure_caption(records: RunRecords, frame: pd.DataFrame, text: str) -> str:
    """What is shown, on which labels and from which foundation."""
    kinds = frame[["labels", "synthetic"]].drop_duplicates().itertuples(index=False)
    labels = ", ".join(sorted(named_labels(kind[0], synthetic=kind[1]) for kind in kinds))
    stand_in = " Foundation: stand-in." if frame["stand_in"].any() else ""
    return f"{caption(records, text)}. Labels: {labels}.{stand_in}"


def _first_of_each_fold(frame: pd.DataFrame) -> pd.DataFrame:
    """The tasks of a study without the later ones of a fold's many repeats and seeds."""
    keys = [*SETTINGS, *FOLD, SHOTS, *_OF_NEW_ELEMENTS]
    return frame.groupby(keys, sort=False).head(MOST_OF_A_FOLD)
