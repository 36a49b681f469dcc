from __future__ import annotations

import pytest
import torch

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import read_lines
from mo_hpc.core.record import read_record
from mo_hpc.training.distributed import choose_device
from mo_hpc.training.worker import run_training_task

COMPARED = ("train_loss", "valid_loss", "valid_energy_mae_mev_per_atom", "learning_rate")


def test_two_processes_train_as_one(make_task, run_alone):
    single_paths, single_task = make_task("single")
    single = run_training_task(single_paths, single_task, provenance={}, show_progress=False)
    paths, _ = make_task("double", n_ranks=2)
    children = [run_alone(paths, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    for child in children:
        _, errors = child.communicate(timeout=180)
        assert child.returncode == 0, errors
    record = read_record(paths)
    assert record.training.world_size == 2
    assert record.training.effective_batch_size == single.training.effective_batch_size
    pairs = zip(read_lines(paths.progress), read_lines(single_paths.progress), strict=True)
    for two, one in pairs:
        for key in COMPARED:
            assert two[key] == pytest.approx(one[key], rel=1e-6), key
    for key in ("energy_mae_mev_per_atom", "force_mae_mev_per_ang_component"):
        assert record.metrics[key] == pytest.approx(single.metrics[key], rel=1e-6)
    assert not paths.rendezvous.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there():
    assert choose_device("auto", 0) == choose_device("cpu", 0) == torch.device("cpu")
    with pytest.raises(UserError, match="torch sees none") as error:
        choose_device("cuda", 0)
    assert "resources.device=cpu" in str(error.value)


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        # All ranks of the node see all of its GPUs, or each the one that is bound to it.
        (4, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        (1, ["cuda:0"] * 4),
    ],
)
def test_a_rank_takes_the_gpu_that_the_launcher_meant(monkeypatch, visible, devices):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    assert [str(choose_device("auto", local_rank)) for local_rank in range(4)] == devices
    assert choose_device("cpu", 0) == torch.device("cpu")
