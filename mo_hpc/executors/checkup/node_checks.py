"""What the test job tells of compute nodes: what is shared, what was granted, what arrives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mo_hpc.container.image import RUNTIMES
from mo_hpc.core.execution import Resources
from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.executors.checkup.node_report import NodeReport, Outcome

_GROUP = Group("Test job")
_CLOCK_TOLERANCE_S = 2
_CLOCK_LIMIT_S = 60
_LITTLE_TMP_GB = 1
_NEVER = ("Partition", "Assoc", "QOS", "BadConstraints", "Invalid", "JobHeld")
"""Beginnings of the reasons for which a job waits for ever."""


def node_findings(outcome: Outcome, resources: Resources, image: Path | None) -> Iterator[Finding]:
    """The findings of the test job, the most basic first.

    Args:
        outcome: How the job went.
        resources: What it asked for.
        image: The image that Python runs in, None where it runs in none.
    """
    report = outcome.report or outcome.printed
    if report is None:
        yield _no_report(outcome)
    else:
        yield _GROUP.ok("test job", f"job {outcome.job_id} ran on {report.node}")
    if outcome.batch:
        yield from _batch(outcome.batch, image)
    if report is None:
        return
    yield _folder(outcome, image)
    yield from _paths(report, image)
    if outcome.report:
        yield _lock(outcome.report)
        yield _clock(outcome)
    yield _cores(report, resources)
    yield _memory(report, resources)
    yield _temporary(report)
    if report.cuda:
        yield _cuda(report, outcome.batch, resources)
    if outcome.report:
        yield _stop(outcome)


def clock_difference_s(node_s: float, earliest_s: float, latest_s: float) -> float:
    """How far a node's clock is ahead of this machine's, as far as that is certain.

    Args:
        node_s: What the node's clock showed.
        earliest_s: This machine's clock at some moment before that.
        latest_s: This machine's clock at some moment after that.

    Returns:
        Seconds; negative if the node is behind, 0 if the clocks may well agree.
    """
    return min(0.0, node_s - earliest_s) + max(0.0, node_s - latest_s)


def _no_report(outcome: Outcome) -> Finding:
    if outcome.refusal:
        return _GROUP.problem(
            "test job",
            f"Slurm refused it: {outcome.refusal}",
            "Correct what it names in the site's file or in resources.*.",
        )
    if outcome.pending is not None:
        reason = outcome.pending.strip("()")
        found = f"job {outcome.job_id} was still pending and is cancelled; reason: {reason}"
        if reason.startswith(_NEVER):
            return _GROUP.problem(
                "test job", found, "It would wait for ever: change the setting that it names."
            )
        return _GROUP.not_checked(
            "test job", found, "Check again with a longer --wait-s, or when less is queued."
        )
    return _python_never_spoke(outcome)


def _python_never_spoke(outcome: Outcome) -> Finding:
    """How far a job came that left no report."""
    if outcome.batch:
        found = f"job {outcome.job_id}: Python did not run on {outcome.batch.get('node', 'it')}"
        return _GROUP.problem(
            "test job",
            f"{found} ({outcome.end})\n{outcome.errors}",
            "Set site.python to a command that starts, on the node, a Python with mo_hpc.",
        )
    if outcome.began:
        return _GROUP.problem(
            "test job",
            f"job {outcome.job_id}: site.setup ended it ({outcome.end})\n{outcome.errors}",
            "Correct the lines of site.setup; they run in bash on the node.",
        )
    return _GROUP.problem(
        "test job",
        f"job {outcome.job_id} left nothing in runs_root ({outcome.end})\n{outcome.errors}",
        "Its node does not see runs_root: set runs_root=DIR to a folder on a file system that "
        "login and compute nodes share.",
    )


def _batch(batch: dict[str, str], image: Path | None) -> Iterator[Finding]:
    if batch.get("scontrol") == "0":
        yield _GROUP.ok("requeue", "the batch script reaches scontrol")
    else:
        yield _GROUP.problem(
            "requeue",
            "the batch script cannot call scontrol: a stopped task would not come back",
            "Make scontrol available on compute nodes, for example by 'module load slurm' in "
            "site.setup.",
        )
    if image is None:
        return
    if batch.get("runtime"):
        yield _GROUP.ok("runtime on node", batch["runtime"])
    else:
        yield _GROUP.problem(
            "runtime on node",
            f"neither {' nor '.join(RUNTIMES)} is on the path of the node",
            f"Load it in site.setup ('module load {RUNTIMES[0]}').",
        )
    if image.is_file() and batch.get("image_bytes") != str(image.stat().st_size):
        yield _GROUP.problem(
            "image on node",
            f"{image} is not there, or is another file than here",
            "Put the image on a file system that the compute nodes share.",
        )


def _folder(outcome: Outcome, image: Path | None) -> Finding:
    if outcome.report and outcome.report.word:
        return _GROUP.ok("runs_root shared", "same path and content, read and written")
    if outcome.report:
        return _GROUP.problem(
            "runs_root shared",
            "the node writes into the folder but does not read what is written here",
            "Use a shared file system for runs_root.",
        )
    inside = "inside the image" if image else "by site.python on the node"
    return _GROUP.problem(
        "runs_root shared",
        f"the batch script sees the folder; it is not seen {inside}",
        _bind("the folder of runs_root", image),
    )


def _paths(report: NodeReport, image: Path | None) -> Iterator[Finding]:
    for path, exists in report.paths.items():
        if exists:
            yield _GROUP.ok("shared path", path)
        else:
            yield _GROUP.problem(
                "shared path",
                f"{path} is here and not on {report.node}",
                _bind(path, image),
            )


def _bind(path: str, image: Path | None) -> str:
    if image:
        return f"Add {path} to site.binds."
    return f"Use a file system for {path} that the compute nodes mount at the same path."


def _lock(report: NodeReport) -> Finding:
    if report.lock == "held":
        return _GROUP.ok("locks shared", "a lock taken here is seen on the node")
    return _GROUP.warning(
        "locks shared",
        f"a lock taken here is {report.lock} on the node",
        "Ask for the mount option flock (Lustre), or NFS without local_lock. Until then do "
        "not start a worker by hand for a task that is queued.",
    )


def _clock(outcome: Outcome) -> Finding:
    assert outcome.report is not None
    ahead_s = clock_difference_s(outcome.report.time_s, *outcome.window_s)
    if outcome.stop and outcome.stop.received_at_s and outcome.stop_window_s:
        second_s = clock_difference_s(outcome.stop.received_at_s, *outcome.stop_window_s)
        ahead_s = max(ahead_s, second_s, key=abs)
    if abs(ahead_s) <= _CLOCK_TOLERANCE_S:
        return _GROUP.ok("clock", f"the node agrees within {_CLOCK_TOLERANCE_S} s")
    found = f"the node is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
    remedy = "Ask the site's staff to synchronise the clocks (NTP, chrony)."
    if abs(ahead_s) > _CLOCK_LIMIT_S:
        return _GROUP.problem("clock", f"{found}; Slurm's credentials may be refused", remedy)
    return _GROUP.warning("clock", f"{found}; times in records will not compare", remedy)


def _cores(report: NodeReport, resources: Resources) -> Finding:
    wanted = resources.cpus_per_task
    found = f"{wanted} asked for, {report.n_cores} usable"
    if report.n_cores < wanted:
        return _GROUP.problem(
            "cores granted", found, "Look for an option in site.sbatch that binds or limits cores."
        )
    unbound = "; tasks keep to theirs by OMP_NUM_THREADS" if report.n_cores > wanted else ""
    return _GROUP.ok("cores granted", found + unbound)


def _memory(report: NodeReport, resources: Resources) -> Finding:
    if report.memory_mb is None:
        return _GROUP.not_checked("memory granted", "Slurm does not tell the job")
    granted_gb = report.memory_mb / 1024
    found = f"{resources.memory_gb:g} GB asked for, {granted_gb:g} GB granted"
    if report.memory_mb < int(resources.memory_gb * 1024):
        return _GROUP.problem(
            "memory granted", found, "Look for an option in site.sbatch that limits memory."
        )
    return _GROUP.ok("memory granted", found)


def _temporary(report: NodeReport) -> Finding:
    if report.tmp is None:
        return _GROUP.problem(
            "$TMPDIR",
            "no temporary folder can be written on the node",
            "Set TMPDIR to a writable folder in site.setup.",
        )
    found = f"{report.tmp}, {report.tmp_free_gb:.0f} GB free"
    if report.tmp_free_gb < _LITTLE_TMP_GB:
        return _GROUP.warning("$TMPDIR", found, "Set TMPDIR to a larger folder in site.setup.")
    return _GROUP.ok("$TMPDIR", found)


def _cuda(report: NodeReport, batch: dict[str, str], resources: Resources) -> Finding:
    assert report.cuda is not None
    cuda = report.cuda
    driver = f"driver {batch['driver']}" if batch.get("driver") else "no NVIDIA driver found"
    names = ", ".join(sorted(set(cuda.devices))) or "none"
    found = f"torch sees {len(cuda.devices)} ({names}); CUDA {cuda.runtime}, {driver}"
    if cuda.error:
        found += f"\n{cuda.error}"
    if cuda.error or len(cuda.devices) < resources.gpus_per_node:
        return _GROUP.problem(
            "GPUs",
            found,
            "Install a torch for CUDA that the driver supports, load the driver's module in "
            "site.setup.",
        )
    return _GROUP.ok("GPUs", found)


def _stop(outcome: Outcome) -> Finding:
    if outcome.stop and outcome.stop.received_at_s:
        return _GROUP.ok("stop signal", "SIGUSR2 arrives at Python")
    return _GROUP.problem(
        "stop signal",
        "SIGUSR2 did not arrive: tasks would be killed at the time limit, unsaved",
        "Let site.python end in a Python that replaces its shell ('exec').",
    )
