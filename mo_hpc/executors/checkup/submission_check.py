"""Would Slurm take the batch script that a launch submits? Nothing is submitted."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.executors.slurm.batch_script import array_parameters, array_script

_GROUP = Group("Submission")
_TIMEOUT_S = 60
_N_ELEMENTS = 2
_CAUSES: Mapping[str, str] = {
    "partition": "site.partition",
    "account": "site.account",
    "qos": "site.qos",
    "gres": "resources.gpus_per_node",
    "feature": "site.constraint",
    "memory": "resources.memory_gb",
    "time limit": "resources.time_min",
    "node count": "resources.nodes",
    "cpu count": "resources.cpus_per_task",
    "node configuration": "resources.* (memory, cores, GPUs) and site.constraint",
    "unrecognized option": "site.sbatch",
}
"""A word of sbatch's complaint → the field that it is about."""


def submission_finding(config: RunConfig) -> Finding:
    """Hands the launcher's own batch script to ``sbatch --test-only``."""
    run = RunPaths(Path(config.runs_root).absolute() / "doctor")
    parameters = array_parameters(
        config,
        config.resources,
        name="mo_hpc-doctor",
        n_elements=_N_ELEMENTS,
        after=(),
        account=run.element_ends("mo_hpc-doctor"),
    )
    script = array_script(run, config, parameters, _N_ELEMENTS)
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as handle:
        handle.write(script)
        handle.flush()
        accepted, said = _tried(handle.name)
    if accepted:
        start = re.search(r"to start at (\S+)", said)
        when = f"; estimated start {start[1]}" if start else ""
        return _GROUP.ok("sbatch", f"takes the batch script of a launch{when}")
    fields = [field for word, field in _CAUSES.items() if word in said.lower()]
    return _GROUP.problem(
        "sbatch",
        f"refuses the batch script of a launch: {said}",
        f"Change {' or '.join(fields or ['the settings of the site'])}; see "
        "'python -m mo_hpc.launch … executor=slurm --dry-run' for the script.",
    )


def _tried(script: str) -> tuple[bool, str]:
    """Whether sbatch would take a script, and what it says."""
    import submitit

    try:
        # Inside a job that job's settings would count as options.
        with submitit.helpers.clean_env():
            done = subprocess.run(
                ["sbatch", "--test-only", script],
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {_TIMEOUT_S} s"
    lines = [line.removeprefix("sbatch: ") for line in done.stderr.strip().splitlines()]
    return done.returncode == 0, "; ".join(line.removeprefix("error: ") for line in lines)
