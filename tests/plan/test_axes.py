"""Axes: which cells a stage has, and how the command line narrows them."""

from __future__ import annotations

from typing import Any

import pytest

from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import AxesConfig, GridConfig, StageConfig
from mo_hpc.grid.axes import cells, in_order, narrowed


def stage(**fields: object) -> StageConfig:
    return StageConfig.model_validate(fields, strict=False)


def test_cells_are_the_product_in_the_order_written() -> None:
    found = cells(stage(axes={"size": ["small", "large"], "repeat": [0, 1]}), where="x")
    assert found == [
        {"size": "small", "repeat": 0},
        {"size": "small", "repeat": 1},
        {"size": "large", "repeat": 0},
        {"size": "large", "repeat": 1},
    ]


def test_iid_has_no_held_out_element() -> None:
    found = cells(
        stage(axes={"protocol": ["iid", "lodo_strict"], "element": ["Ta", "W"]}), where="x"
    )
    assert found == [
        {"protocol": "iid"},
        {"protocol": "lodo_strict", "element": "Ta"},
        {"protocol": "lodo_strict", "element": "W"},
    ]


def test_zero_shot_has_no_choice_of_reference_energies() -> None:
    axes = {"paradigm": ["zero_shot", "scratch"], "energy_reference": ["average", "foundation"]}
    found = cells(stage(axes=axes), where="x")
    assert [cell.get("energy_reference") for cell in found] == [None, "average", "foundation"]


def test_excluded_combinations_are_left_out() -> None:
    found = cells(
        stage(
            axes={"paradigm": ["scratch", "fine_tune"], "size": ["small", "large"]},
            exclude=[{"paradigm": "scratch", "size": "large"}],
        ),
        where="x",
    )
    assert {"paradigm": "scratch", "size": "large"} not in found
    assert len(found) == 3


def test_an_unknown_axis_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Unknown axis 'elemnt'") as caught:
        cells(stage(axes={"elemnt": ["W"]}), where="x")
    assert "element" in str(caught.value)


def test_a_dotted_key_is_an_axis() -> None:
    assert cells(stage(axes={"train.learning_rate": [1e-3, 1e-4]}), where="x") == [
        {"train.learning_rate": 1e-3},
        {"train.learning_rate": 1e-4},
    ]


def grid(**stages: StageConfig) -> GridConfig:
    return GridConfig(name="g", description="d", stages=stages)


def test_stages_come_after_what_they_need_and_idle_helpers_are_dropped() -> None:
    two = grid(
        transfer=stage(foundation="stage:pretrain"),
        pretrain=stage(paradigm="scratch", only_if_needed=True),
        idle=stage(only_if_needed=True),
    )
    assert in_order(two.stages) == ["pretrain", "transfer"]


@pytest.mark.parametrize(
    "takes",
    [
        {"kind": "check", "axes": {"check": ["vacancy"], "potential": ["eam", "stage:pretrain"]}},
        {"foundation": "mace_mp_0_small", "new_elements": {"foundation": "stage:pretrain"}},
    ],
)
def test_a_stage_that_checks_or_borrows_from_another_comes_after_it(takes: dict[str, Any]) -> None:
    two = grid(taker=stage(**takes), pretrain=stage(paradigm="scratch", only_if_needed=True))
    assert in_order(two.stages) == ["pretrain", "taker"]


def test_a_circle_of_stages_is_an_error() -> None:
    circle = grid(a=stage(foundation="stage:b"), b=stage(foundation="stage:a"))
    with pytest.raises(UserError, match="need each other"):
        in_order(circle.stages)


def test_an_axis_from_the_command_line_replaces_where_it_exists() -> None:
    two = grid(
        pretrain=stage(only_if_needed=True),
        transfer=stage(foundation="stage:pretrain", axes={"element": ["Ta", "W"]}),
    )
    changed = narrowed(two, AxesConfig(element=("W",)))
    assert changed["transfer"].axes == {"element": ("W",)}
    assert changed["pretrain"].axes == {}


def test_a_new_axis_goes_to_the_stages_nobody_needs() -> None:
    two = grid(pretrain=stage(only_if_needed=True), transfer=stage(foundation="stage:pretrain"))
    changed = narrowed(two, AxesConfig(seed=(1, 2)))
    assert changed["transfer"].axes == {"seed": (1, 2)}
    assert changed["pretrain"].axes == {}
