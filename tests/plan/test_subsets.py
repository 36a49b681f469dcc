"""Parts of a dataset: conditions on tags and on elements, all of which a frame satisfies."""

from __future__ import annotations

from typing import Any

import pytest

from mo_hpc.core.config import dataset_config
from mo_hpc.core.index import DatasetIndex, FrameEntry
from mo_hpc.core.schema import DatasetConfig, SplitConfig, SubsetConfig, validated
from mo_hpc.plan.splitting import SplitMaker


def chosen(subset: dict[str, Any]) -> set[str]:
    """Names of the frames of a subset: dopant and position in its relaxation."""
    frames = [
        FrameEntry(
            id=f"{dopant}{position}",
            composition={"Mo": 15, dopant: 1},
            group=dopant,
            tags={"dopants": dopant, "is_final": position == 4},
        )
        for dopant in ("Nb", "Ta", "Al")
        for position in range(5)
    ]
    config = dataset_config("demo")
    config = config.model_copy(
        update={"subsets": {"part": validated(SubsetConfig, subset, where="part")}}
    )
    return names(config, DatasetIndex("demo", "0" * 64, tuple(frames)))


def names(config: DatasetConfig, index: DatasetIndex) -> set[str]:
    split = SplitConfig(grouped=False, fractions=(0.34, 0.33, 0.33))
    return set(SplitMaker().make(config, index, "part", split).frames)


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ({"where": {"is_final": [True]}}, {"Nb4", "Ta4", "Al4"}),
        ({"where": {"is_final": [False]}, "without_elements": ["Al", "Ta"]}, "Nb0 Nb1 Nb2 Nb3"),
        (
            {"any_of": [{"is_final": [True]}, {"dopants": ["Al"]}]},
            {"Nb4", "Ta4", "Al0", "Al1", "Al2", "Al3", "Al4"},
        ),
        (
            {"where": {"is_final": [False]}, "any_of": [{"dopants": ["Ta"]}, {"dopants": ["Nb"]}]},
            {f"{dopant}{n}" for dopant in ("Ta", "Nb") for n in range(4)},
        ),
    ],
    ids=["tag", "without elements", "any of", "all conditions"],
)
def test_a_subset_has_the_frames_that_satisfy_all_its_conditions(
    subset: dict[str, Any], expected: set[str] | str
) -> None:
    wanted = set(expected.split()) if isinstance(expected, str) else expected
    assert chosen(subset) == wanted
