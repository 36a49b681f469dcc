from __future__ import annotations

import os
import pickle
import random

import mace  # noqa: F401 - it switches torch to loading any pickle; the guard must hold after it
import numpy as np
import pytest
import torch

from mo_hpc.core.errors import UserError
from mo_hpc.training.checkpoint import (
    load_checkpoint,
    random_states,
    save_checkpoint,
    set_random_states,
)


class _Payload:
    def __reduce__(self):
        return (os.mkdir, ("unpickled-code-ran",))


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"
    torch.save({"payload": _Payload()}, tmp_path / "last.pt")
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(tmp_path / "last.pt")
    assert not (tmp_path / "unpickled-code-ran").exists()


def test_the_payload_would_run_where_code_is_allowed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(_Payload()))
    assert (tmp_path / "unpickled-code-ran").exists()


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"a": torch.ones(2)})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="cannot be read") as error:
        load_checkpoint(path)
    assert error.value.where == str(path)


def test_random_generators_go_on_where_they_stood(tmp_path):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    save_checkpoint(tmp_path / "last.pt", {"random": random_states()})
    expected = draw()
    set_random_states(load_checkpoint(tmp_path / "last.pt")["random"])
    assert draw() == expected
