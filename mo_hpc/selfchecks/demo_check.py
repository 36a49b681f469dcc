"""The whole way in small: one task of the demo grid, planned, trained, evaluated, recorded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mo_hpc.core.files import read_lines
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import TrainRecord, read_record
from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.selfchecks.children import alone, run_command_line

_N_EPOCHS = 2
_PATIENCE_S = 600.0


def demo_finding(group: Group, folder: Path, *, with_gpu: bool) -> Finding:
    """Launches one task of the demo grid and reads its record.

    Args:
        group: The heading.
        folder: For the run and the demo's data.
        with_gpu: Whether to train on a GPU.
    """
    words = [
        "grid=demo",
        "axes.protocol=[iid]",
        "axes.paradigm=[scratch]",
        "executor=inline",
        "executor.collect=false",
        f"train.max_epochs={_N_EPOCHS}",
        f"resources.device={'cuda' if with_gpu else 'cpu'}",
        f"resources.gpus_per_node={int(with_gpu)}",
        f"runs_root={folder / 'runs'}",
        f"cache_root={folder / 'cache'}",
    ]
    command = [sys.executable, "-m", "mo_hpc.launch", *words, "--json"]
    ended = run_command_line(command, alone(), patience_s=_PATIENCE_S)
    if ended.code != 0:
        return group.problem(
            "a demo task",
            f"python -m mo_hpc.launch grid=demo: {ended.why}",
            "Launch the same by hand: python -m mo_hpc.launch grid=demo executor=inline",
        )
    document = json.loads(ended.out)
    task = RunPaths(Path(document["run_dir"])).task(document["tasks"][0]["id"])
    rates = [f"{line['structures_per_s']:.0f}" for line in read_lines(task.progress)]
    record = read_record(task)
    assert isinstance(record, TrainRecord)
    metrics = record.metrics
    return group.ok(
        "a demo task",
        f"{_N_EPOCHS} epochs of {record.split.n_train} structures on the "
        f"{'GPU' if with_gpu else 'CPU'}: {', '.join(rates)} structures/s\n"
        f"test error {metrics['energy_mae_mev_per_atom']:.1f} meV/atom, "
        f"{metrics['force_mae_mev_per_ang_component']:.0f} meV/Å; "
        f"{record.wall_time_s:.1f} s in all",
    )
