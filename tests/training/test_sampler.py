from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mo_hpc.training.sampler import EpochSampler

N_EPOCHS = 3


def _loader_epochs(n: int, batch_size: int, seed: int) -> list[list[list[int]]]:
    """What the loader that MACE builds yields."""
    loader = DataLoader(
        list(range(n)),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(seed),
    )
    return [[batch.tolist() for batch in loader] for _ in range(N_EPOCHS)]


@given(n=st.integers(2, 40), batch_size=st.integers(1, 8), seed=st.integers(0, 10_000))
def test_the_order_is_that_of_the_data_loader(n, batch_size, seed):
    batch_size = min(n, batch_size)
    sampler = EpochSampler(n, batch_size, seed)
    epochs = [sampler.whole_epoch() for _ in range(N_EPOCHS)]
    assert epochs == _loader_epochs(n, batch_size, seed)


def test_fewer_structures_than_a_batch_make_one_batch():
    sampler = EpochSampler(3, 8, 0)
    (batch,) = sampler.whole_epoch()
    assert sorted(batch) == [0, 1, 2]


@pytest.mark.parametrize("drawn", [0, 1, 3])
def test_a_restored_sampler_goes_on_in_the_middle_of_an_epoch(drawn):
    whole, first, second = (EpochSampler(13, 4, 5) for _ in range(3))
    expected = [whole.whole_epoch() for _ in range(2)]
    first.start_epoch()
    seen = [first.next_batch() for _ in range(drawn)]
    second.load_state_dict(first.state_dict())
    while (batch := second.next_batch()) is not None:
        seen.append(batch)
    assert [seen, second.whole_epoch()] == expected
