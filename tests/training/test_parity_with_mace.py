"""The loop reproduces `mace_run_train`, step by step, where that is correct."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("loss", ["weighted", "l1l2"])
def test_losses_and_errors_agree(side_by_side, train_toy, tmp_path, loss):
    train = side_by_side.TRAIN | {"loss": loss, "max_epochs": 2}
    setup = side_by_side.Setup(10, 3, 2, side_by_side.TINY_MODEL, train)
    side_by_side.write_setup(tmp_path, setup)
    train_toy(tmp_path, "ours")
    ours = side_by_side.read_ours(tmp_path / "ours", seconds=0)
    mace = side_by_side.run_mace(tmp_path, setup)
    assert len(mace.step_losses) == 4
    for name in ("step_losses", "valid_energy_mae_ev_per_atom", "valid_force_mae_ev_per_ang"):
        assert getattr(ours, name) == pytest.approx(getattr(mace, name), rel=1e-6), name
