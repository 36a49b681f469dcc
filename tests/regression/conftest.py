"""Nights made by hand, and programs that stand in for cron and Slurm."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from mo_hpc.regression.folder import NightlyFolder
from mo_hpc.regression.history import Night, Origin, UnfinishedTask
from mo_hpc.regression.measured import CellResult, Mean, Throughput


def _cell(seeds=(1, 2, 3, 4, 5), **metrics) -> CellResult:
    """A cell from the values of each metric, one for each seed, or one for all."""
    values = {
        name: each if isinstance(each, list | tuple) else [each] * len(seeds)
        for name, each in metrics.items()
    }
    return CellResult(
        seeds=tuple(seeds),
        metrics={
            name: Mean(
                mean=statistics.fmean(each),
                std=statistics.stdev(each) if len(each) > 1 else None,
            )
            for name, each in values.items()
        },
    )


def _night(number=1, commit="a" * 40, *, unfinished=(), processors=("cpu",), **cells) -> Night:
    """A night with these cells."""
    return Night(
        night=f"2026-01-{number:02d}T033000Z",
        started="2026-01-01T03:30:00+00:00",
        ended="2026-01-01T03:40:00+00:00",
        run_dir="runs/nightly/0",
        grid="nightly",
        words=("grid=nightly",),
        origin=Origin(
            commits=(commit,),
            dirty=False,
            version="0",
            lock_sha256="0",
            libraries={"torch": "2"},
            processors=processors,
        ),
        cells=cells,
        unfinished=tuple(
            UnfinishedTask(id=name, state="failed", failure_class="diverged", reason="NaN")
            for name in unfinished
        ),
        throughput=Throughput(wall_time_s=60.0, task_wall_time_s=50.0, train_frames_per_s=9.0),
        verdict="pass",
        moved=(),
        reference_digest=None,
    )


@pytest.fixture(scope="session")
def cell():
    return _cell


@pytest.fixture(scope="session")
def night():
    return _night


@pytest.fixture
def folder(tmp_path) -> NightlyFolder:
    return NightlyFolder(tmp_path / "my nightly")


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder on the path for programs that a test writes; the real ones are out of reach."""
    bin_folder = tmp_path / "programs"
    bin_folder.mkdir()
    for name in ("bash", "date", "id", "env", "cat", "cp", "grep", "tail", "echo"):
        found = next(
            place / name for place in (Path("/bin"), Path("/usr/bin")) if (place / name).exists()
        )
        (bin_folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(bin_folder))
    return bin_folder


@pytest.fixture
def make_program(programs):
    def make(name: str, body: str) -> Path:
        path = programs / name
        path.write_text(f"#!{programs}/bash\n{body}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def table_program(make_program, tmp_path):
    """A crontab or scrontab that keeps its table in a file, with the real one's manners."""

    def make(name: str) -> Path:
        table = tmp_path / f"{name}.table"
        make_program(
            name,
            f'table="{table}"\n'
            "if [[ $1 == -l ]]; then\n"
            '  [[ -f $table ]] || { echo "no crontab for me" >&2; exit 1; }\n'
            '  cat "$table"; exit 0\n'
            "fi\n"
            'cp "$1" "$table"',
        )
        return table

    return make
