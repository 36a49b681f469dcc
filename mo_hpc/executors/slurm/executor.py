"""Runs tasks as Slurm job arrays: one array per dependency level, in chunks that fit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import write_atomic
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.activity import Activity, queue_activity
from mo_hpc.executors.base import not_done
from mo_hpc.executors.in_image import run_container, write_enter_script
from mo_hpc.executors.slurm import squeue
from mo_hpc.executors.slurm.arrays import Array, arrays
from mo_hpc.executors.slurm.batch_script import (
    array_parameters,
    array_script,
    at_once_on_a_node,
    element_command,
    element_resources,
    follower_script,
)
from mo_hpc.executors.slurm.commands import ask_or_none
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.executors.slurm.limits import Limits, cluster_limits
from mo_hpc.executors.slurm.sbatch import Refused, submit_array, submit_script

_ROOM_FOR_FOLLOWER = 1
_LATER = {"begin": "now+5minutes"}
"""When to look again for room in a queue that is full of other jobs."""


class SlurmExecutor:
    """Submits and returns at once; what became of the tasks is told by their records."""

    def __init__(self, run: RunPaths, config: RunConfig) -> None:
        self._run = run
        self._config = config
        self._ledger = Ledger(run)

    def require(self, tasks: Sequence[TaskSpec]) -> None:
        """Checks that Slurm and the image are here, and that a task has time to save its state.

        Raises:
            UserError: If they are not, or a time limit is shorter than the warning ahead of it.
        """
        wanted = not_done(self._run, tasks)
        if wanted:
            _require_slurm()
            run_container(self._run, self._config, wanted)
        self._require_time_to_save(wanted)

    def submit(self, tasks: Sequence[TaskSpec]) -> list[str]:
        """Submits the tasks that are neither done nor in the queue, as many as there is room for.

        What finds no room is submitted by the job that follows the arrays.

        Raises:
            UserError: If Slurm is not here, does not answer, or refuses a job. What it
                accepted before that stays in the ledger.
        """
        self.require(tasks)
        rows = squeue.query()
        self._ledger.repair(rows)
        found = queue_activity(self._run, self._ledger.submissions(), rows)
        limits = cluster_limits(self._config.site)
        wanted = [task for task in not_done(self._run, tasks) if task.id not in found.jobs]
        jobs = {task_id: row.job_id for task_id, row in found.jobs.items()}
        follow = partial(self._submit_follower, found.followers, limits)
        try:
            submitted = self._submit_arrays(wanted, jobs, limits, _room(limits, found))
        except UserError:
            if jobs:
                follow(jobs.values(), is_complete=True)
            raise
        if wanted:
            follow(jobs.values(), is_complete=len(submitted) == len(wanted))
        return submitted

    def follow(self) -> bool:
        """Submits a job that follows what is in the queue; False if nothing is."""
        rows = squeue.query()
        found = queue_activity(self._run, self._ledger.submissions(), rows)
        open_jobs = {row.job_id for row in found.jobs.values()}
        if open_jobs:
            limits = cluster_limits(self._config.site)
            self._submit_follower(found.followers, limits, open_jobs, is_complete=True)
        return bool(open_jobs)

    def preview(self, tasks: Sequence[TaskSpec]) -> str:
        """The batch script of every array, with its tasks counted.

        Raises:
            UserError: If a time limit is shorter than the warning ahead of it.
        """
        self._require_time_to_save(tasks)
        parts = []
        known = {task.id for task in tasks}
        chunks = list(self._arrays(tasks, cluster_limits(self._config.site)))
        for number, array in enumerate(chunks, start=1):
            n_elements = len(array.elements)
            elements = "1 element" if n_elements == 1 else f"{n_elements} elements"
            if array.tasks_per_element > 1:
                elements += f" for {len(array.tasks)} tasks"
            if known.intersection(need for task in array.tasks for need in task.needs):
                elements += ", after the arrays that run what it needs"
            parameters = self._parameters(array, self._label(array), after=(), limits=Limits())
            parts.append(
                f"Array {number} of {len(chunks)}: {elements}\n\n"
                + array_script(
                    self._run,
                    self._config,
                    parameters,
                    n_elements,
                    self._at_once(array, Limits()),
                )
            )
        return "\n\n".join(parts)

    def _require_time_to_save(self, tasks: Sequence[TaskSpec]) -> None:
        limit_min = min((task.resources.time_min for task in tasks), default=None)
        warning_s = self._config.site.signal_before_end_s
        if limit_min is not None and warning_s >= 60 * limit_min:
            raise UserError(
                f"A task would be asked to stop {warning_s} s before its time limit, which is "
                f"{limit_min} min: before it has begun.",
                where="resources.time_min, site.signal_before_end_s",
                remedy=f"Set resources.time_min to more than {warning_s // 60}, or a smaller "
                "site.signal_before_end_s.",
            )

    def _arrays(self, tasks: Sequence[TaskSpec], limits: Limits) -> Iterable[Array]:
        return arrays(
            tasks,
            tasks_per_element=self._config.executor.tasks_per_element,
            most_elements=limits.array_size,
        )

    def _submit_arrays(
        self, wanted: Sequence[TaskSpec], jobs: dict[str, str], limits: Limits, room: float
    ) -> list[str]:
        """Submits arrays until all are or the queue is full; adds their ids to ``jobs``."""
        submitted: list[str] = []
        for array in self._arrays(wanted, limits):
            part = array.first(int(min(room, len(array.elements))))
            job_id, part = self._submit_what_fits(part, jobs, limits)
            jobs.update({task.id: job_id for task in part.tasks})
            submitted += [task.id for task in part.tasks]
            room -= len(part.elements)
            if len(part.elements) < len(array.elements):
                break
        return submitted

    def _submit_what_fits(
        self, array: Array, jobs: Mapping[str, str], limits: Limits
    ) -> tuple[str, Array]:
        """Submits an array, or as much of it as a limit lets in that nobody told us of.

        Raises:
            UserError: If Slurm refuses it for another reason.
        """
        while array.elements:
            after = {jobs[need] for task in array.tasks for need in task.needs if need in jobs}
            try:
                return self._submit_array(array, sorted(after), limits), array
            except Refused as refusal:
                if not refusal.is_full:
                    raise self._refusal(refusal) from None
                array = array.first(len(array.elements) // 2)
        return "", array

    def _submit_array(self, array: Array, after: Sequence[str], limits: Limits) -> str:
        name = self._ledger.intend(
            self._label(array), [[task.id for task in element] for element in array.elements]
        )
        write_enter_script(self._run, self._config, name, array.tasks)
        try:
            job_id = submit_array(
                self._run.scheduler_logs.absolute(),
                element_command(self._run, self._config, name, self._at_once(array, limits)),
                len(array.elements),
                self._parameters(array, name, after, limits),
            )
        except Refused as refusal:
            self._drop(name, refusal)
            raise
        self._ledger.confirm(name, job_id)
        return job_id

    def _submit_follower(
        self, earlier: Sequence[str], limits: Limits, jobs: Iterable[str], *, is_complete: bool
    ) -> None:
        """Submits the job that follows the arrays, in place of earlier ones.

        While tasks wait for room in the queue it comes when any array has ended, else when
        all have.
        """
        if not self._config.executor.follow:
            return
        name = self._ledger.intend(f"mo_hpc-{self._config.grid.name}-follow", ())
        each = [f"afterany:{job_id}" for job_id in sorted(set(jobs))]
        when = {"dependency": ("," if is_complete else "?").join(each)} if each else _LATER
        script = self._run.scheduler_logs / f"{name}.sh"
        text = follower_script(
            self._run, self._config.site, name=name, when=when, most_min=limits.time_min
        )
        write_atomic(script, text)
        try:
            self._ledger.confirm(name, submit_script(script, name))
        except Refused as refusal:
            self._drop(name, refusal)
            raise self._refusal(refusal) from None
        # A follower that submits its successor must live to see the end of it.
        if others := [job_id for job_id in earlier if job_id != os.environ.get("SLURM_JOB_ID")]:
            ask_or_none("scancel", *others)

    def _drop(self, name: str, refusal: Refused) -> None:
        """Settles an intent that was refused; one that may be in the queue is left open."""
        if not refusal.is_unsure:
            self._ledger.drop(name, str(refusal))

    def _parameters(
        self, array: Array, name: str, after: Sequence[str], limits: Limits
    ) -> dict[str, Any]:
        resources = element_resources(
            array.resources,
            n_tasks=array.tasks_per_element,
            at_once=self._at_once(array, limits),
            share_gpus=self._config.executor.share_gpus,
            most_min=limits.time_min,
        )
        return array_parameters(
            self._config,
            resources,
            name=name,
            n_elements=len(array.elements),
            after=after,
            account=self._run.element_ends(name).absolute(),
        )

    def _at_once(self, array: Array, limits: Limits) -> int:
        return at_once_on_a_node(
            array.resources,
            self._config.executor,
            n_tasks=array.tasks_per_element,
            most_gb=limits.memory_gb,
        )

    def _label(self, array: Array) -> str:
        stages = dict.fromkeys(task.stage for task in array.tasks)
        return f"mo_hpc-{self._config.grid.name}-{'+'.join(stages)}"

    def _refusal(self, refusal: Refused) -> UserError:
        return UserError(
            f"Slurm refused the job: {refusal}.",
            where=f"site={self._config.site.name}",
            remedy="Compare the site's settings (partition, account, qos, sbatch) and "
            "resources.* with what the cluster offers ('sinfo', docs/cluster.md, "
            "'python -m mo_hpc.doctor'), then launch again.",
        )


def _room(limits: Limits, found: Activity) -> float:
    """Array elements that the user may still submit; one job is kept for the follower."""
    if limits.submit is None:
        return float("inf")
    # Earlier followers count as well: they leave only when the new one is in the queue.
    return max(0, limits.submit - found.n_queued - _ROOM_FOR_FOLLOWER)


def _require_slurm() -> None:
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError(
            "Slurm's command sbatch is not on the path of this machine.",
            where="executor=slurm",
            remedy="Launch on a login node, use executor=local, or start a test cluster as "
            "docs/test-cluster.md describes.",
        )
