"""Every registered dataset and foundation is valid and says what a person needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mo_hpc.core.config import dataset_config, foundation_config, names
from mo_hpc.core.registry import GENERATORS, READERS, load
from mo_hpc.data.index import build_index

DOCUMENTED = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"


@pytest.mark.parametrize("name", names("dataset"))
def test_a_dataset_is_complete(name: str) -> None:
    config = dataset_config(name)
    assert config.name == name
    assert config.reader in READERS
    assert config.source.licence
    assert config.source.how_to_get.strip()
    assert (config.generator is None) == (config.source.kind != "generated")
    assert config.synthetic == ("synthetic" in config.labels)
    if config.source.kind == "download":
        assert (config.source.base_url or "").startswith("https://")
    for digest in config.source.sha256.values():
        assert re.fullmatch(r"[0-9a-f]{64}", digest)


@pytest.mark.parametrize("name", [*names("dataset"), *names("foundation")])
def test_every_name_is_documented(name: str) -> None:
    assert f"`{name}`" in DOCUMENTED.read_text()


@pytest.mark.parametrize("name", names("foundation"))
def test_a_foundation_is_complete(name: str) -> None:
    config = foundation_config(name)
    assert config.name == name
    assert config.url.startswith("https://")
    assert config.url.endswith(config.file)


def test_generators_exist() -> None:
    for name in GENERATORS:
        assert callable(load(GENERATORS, "generator", name))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "n_frames", "subset_sizes"),
    [
        ("nbmotaw", 5282, {"homogeneous": 1334, "substituted": 3948}),
        ("homogeneous_replica", 3665, {}),
        ("mo_new_elements_replica", 79, {"equilibrium": 9}),
        ("monbtita", 194, {}),
    ],
)
def test_real_sets_have_the_published_size(
    name: str, n_frames: int, subset_sizes: dict[str, int], shared_data_root: Path, tmp_path: Path
) -> None:
    config = dataset_config(name)
    index = build_index(config, shared_data_root, tmp_path)
    assert len(index.frames) == n_frames
    for subset, size in subset_sizes.items():
        where = config.subsets[subset].where
        chosen = [
            frame
            for frame in index.frames
            if all(frame.tags.get(key) in values for key, values in where.items())
        ]
        assert len(chosen) == size
