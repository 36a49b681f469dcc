"""Runs of fake tasks: configuration, task folders and manifest."""

import time

from mo_hpc.core.config import load_named
from mo_hpc.core.execution import ExecutorConfig, Resources, RetryConfig, SiteConfig
from mo_hpc.core.files import digest, write_json
from mo_hpc.core.schema import (
    DatasetConfig,
    GridConfig,
    ModelConfig,
    RunConfig,
    SourceConfig,
    SplitConfig,
    TrainConfig,
)
from mo_hpc.core.task import DatasetRef, LeakageAudit, Runtime, SplitSummary, TrainTask
from mo_hpc.core.validation import validated
from mo_hpc.plan.manifest import Manifest, ManifestTask

SMALL = Resources(cpus_per_task=1, memory_gb=0.25, time_min=5)
NO_DATA = DatasetConfig(
    name="nothing",
    description="no frames",
    reader="extxyz",
    files=(),
    labels="none",
    source=SourceConfig(kind="local", how_to_get="not at all", licence="none"),
)


def run_config(executor="inline", *, site=None, retry="none", **fields):
    """A configuration without a grid; keywords go to the executor."""
    return RunConfig(
        grid=GridConfig(name="fakes", description="fake tasks", stages={}),
        dataset=NO_DATA,
        model=ModelConfig(name="none"),
        train=TrainConfig(preset="none", loss="l1l2"),
        split=SplitConfig(),
        executor=ExecutorConfig(name=executor, **fields),
        site=SiteConfig(name="test", **(site or {})),
        resources=Resources(),
        retry=validated(RetryConfig, load_named("retry", retry), where=retry),
    )


def write_task(
    run, name, behaviour="ok", *, needs=(), stage="fake", resources=SMALL, kind="fake", **axes
):
    """Writes the folder of a fake task and returns its specification."""
    axes = {"behaviour": behaviour, **axes}
    task = TrainTask(
        id=name,
        digest=digest([name, axes]),
        kind=kind,
        grid="fakes",
        stage=stage,
        axes=axes,
        needs=tuple(needs),
        paradigm="scratch",
        dataset=DatasetRef(config=NO_DATA, subset=None, dataset_hash="0"),
        split=empty_split(),
        model=ModelConfig(name="none"),
        train=TrainConfig(preset="none", loss="l1l2"),
        foundation=None,
        resources=resources,
        runtime=Runtime(data_root="-", cache_root="-"),
    )
    write_json(run.task(name).task, task.model_dump(mode="json"))
    return task


def empty_split():
    audit = LeakageAudit(
        n_duplicates=0,
        n_near_duplicates=0,
        n_shared_groups=0,
        held_out_element_in_train=None,
        n_train_with_held_out_element=0,
        findings=(),
    )
    return SplitSummary(
        config=SplitConfig(),
        digest="0",
        n_train=0,
        n_valid=0,
        n_test=0,
        n_excluded=0,
        train_elements=(),
        test_elements=(),
        audit=audit,
    )


def manifest_of(tasks):
    """The manifest of a run of these tasks."""
    return Manifest(
        grid="fakes",
        description="fake tasks",
        run_digest="0",
        executor="slurm",
        site="test",
        dataset="nothing",
        labels="none",
        synthetic=True,
        tasks=tuple(
            ManifestTask(id=t.id, digest=t.digest, stage=t.stage, axes=t.axes, needs=t.needs)
            for t in tasks
        ),
    )


def wait_for(condition, timeout_s=120.0, interval_s=0.05, what=""):
    """Waits until a condition holds; what is still waited for is told otherwise."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= end:
            raise AssertionError(f"timed out {what() if callable(what) else what}")
        time.sleep(interval_s)
