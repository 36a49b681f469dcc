"""The executor and site files that come with the project."""

from pathlib import Path

import pytest

from mo_hpc.core.config import load_named, names
from mo_hpc.core.execution import ExecutorConfig, SiteConfig
from mo_hpc.core.registry import EXECUTORS
from mo_hpc.core.schema import validated
from mo_hpc.executors.slurm.batch_script import array_parameters


@pytest.mark.parametrize("name", sorted(EXECUTORS))
def test_every_executor_has_its_file(name):
    config = validated(ExecutorConfig, load_named("executor", name), where=name)
    assert config.name == name


@pytest.mark.parametrize("name", names("site"))
def test_sites_are_valid(name):
    site = validated(SiteConfig, load_named("site", name), where=name)
    assert site.name == name


def test_the_example_sets_every_field_and_all_of_them_act(make_config):
    document = load_named("site", "example")
    assert set(document) == set(SiteConfig.model_fields)
    config = make_config("slurm").model_copy(
        update={"site": validated(SiteConfig, document, where="example")}
    )
    parameters = array_parameters(
        config, config.resources, name="n", n_elements=2, after=(), account=Path("n.ended")
    )
    text = str(parameters)
    for value in ("my-project", "a100", "module load cuda/12.4", "enforce-binding", "-lt 40"):
        assert value in text
    assert parameters["signal_delay_s"] == 120
