"""Datasets that are computed on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mo_hpc.core.config import dataset_config, names
from mo_hpc.core.errors import UserError
from mo_hpc.core.registry import GENERATORS, load
from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.location import confined


def build_dataset(config: DatasetConfig, cache_root: Path) -> Path:
    """Generates a dataset and returns its file.

    Raises:
        UserError: If the dataset is not one that can be generated.
    """
    if config.generator is None:
        raise UserError(
            f"Dataset '{config.name}' is not generated, so it cannot be built.",
            where=f"dataset={config.name}",
            valid=[
                *(name for name in names("dataset") if dataset_config(name).generator),
                *names("design"),
            ],
            remedy=config.source.how_to_get,
        )
    generate: Callable[[Path], None] = load(GENERATORS, "generator", config.generator)
    path = generated_file(config, cache_root)
    generate(path)
    return path


def build_if_missing(config: DatasetConfig, cache_root: Path) -> None:
    """Generates a dataset that can be generated and is not there."""
    if config.generator is not None and not generated_file(config, cache_root).exists():
        build_dataset(config, cache_root)


def generated_file(config: DatasetConfig, cache_root: Path) -> Path:
    """Where a generated dataset is written."""
    return cache_root / "datasets" / confined(config.files[0], where=f"dataset={config.name}")
