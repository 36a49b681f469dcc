from __future__ import annotations

import pytest

from mo_hpc.core.config import load_named, model_config, names
from mo_hpc.core.execution import Resources
from mo_hpc.core.schema import ModelConfig, TrainConfig, validated


@pytest.mark.parametrize("name", names("train"))
def test_presets_are_valid_and_named_as_their_file(name):
    assert validated(TrainConfig, load_named("train", name), where=name).preset == name


@pytest.mark.parametrize("name", names("model"))
def test_sizes_are_valid_and_named_as_their_file(name):
    assert model_config(name).name == name


@pytest.mark.parametrize("name", names("train"))
def test_adjustments_set_fields_that_exist(name):
    sections = {"train": TrainConfig, "model": ModelConfig, "resources": Resources}
    fields = {
        f"{part}.{field}" for part, section in sections.items() for field in section.model_fields
    }
    for adjustment in validated(TrainConfig, load_named("train", name), where=name).adjust:
        assert set(adjustment.set) <= fields


def test_the_scripts_train_scratch_models_for_fewer_epochs():
    preset = validated(TrainConfig, load_named("train", "paper_scripts"), where="paper_scripts")
    scratch = [a for a in preset.adjust if a.when.get("paradigm") == "scratch"]
    epochs = {
        adjustment.when["size"]: adjustment.set["train.max_epochs"]
        for adjustment in scratch
        if "size" in adjustment.when
    }
    assert epochs == {"small": 60, "medium": 50, "large": 30}
    every_size = [adjustment.set for adjustment in scratch if "size" not in adjustment.when]
    assert every_size == [{"model.r_max_ang": 5.0, "model.num_radial_basis": 8}]
    assert (preset.loss, preset.max_epochs) == ("weighted", 200)
