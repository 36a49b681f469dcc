"""All checks of a site in order; what depends on a failed one is left out or said so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mo_hpc.core.installation import locked_versions
from mo_hpc.core.schema import RunConfig
from mo_hpc.data.location import resolve_roots
from mo_hpc.executors.checkup import probe
from mo_hpc.executors.checkup.cluster import Cluster, read_cluster
from mo_hpc.executors.checkup.container import container_findings
from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.executors.checkup.folder_checks import folder_findings, nearest
from mo_hpc.executors.checkup.node_checks import node_findings
from mo_hpc.executors.checkup.node_report import NodeReport, software
from mo_hpc.executors.checkup.partition_checks import partition_findings
from mo_hpc.executors.checkup.policy_checks import policy_findings
from mo_hpc.executors.checkup.probe_job import probe_resources, run_probe
from mo_hpc.executors.checkup.slurm_checks import (
    command_findings,
    controller_answers,
    controller_problem,
    missing_commands,
)
from mo_hpc.executors.checkup.submission_check import submission_finding
from mo_hpc.executors.checkup.version_checks import version_findings
from mo_hpc.executors.slurm.commands import SlurmSilent

_JOB = Group("Test job")


@dataclass(slots=True)
class Examination:
    """One look at a site.

    Attributes:
        config: Site, resources and roots.
        with_job: Whether to submit the test job.
        wait_s: How long the test job may wait in the queue.
        say: Is told what is being waited for.
    """

    config: RunConfig
    with_job: bool
    wait_s: float
    say: Callable[[str], None]
    _can_submit: bool = True
    _node: NodeReport | None = None

    def findings(self) -> Iterator[Finding]:
        """The findings, as they come."""
        yield from self._noted(command_findings())
        cluster = self._cluster()
        if isinstance(cluster, Finding):
            yield cluster
        elif cluster is not None:
            yield controller_answers(
                cluster.settings.get("ClusterName", "?"), len({n.name for n in cluster.nodes})
            )
            yield from self._of_cluster(cluster)
        yield from self._noted(folder_findings(self.config))
        yield from self._noted(container_findings(self.config))
        yield from self._of_job()
        host = software(probe.software())
        yield from version_findings(host, self._node, locked_versions())

    def _cluster(self) -> Cluster | Finding | None:
        """The cluster, why it does not answer, or None where there is none to ask."""
        if missing_commands():
            return None
        self.say("asking Slurm")
        try:
            return read_cluster()
        except SlurmSilent as silent:
            self._can_submit = False
            return controller_problem(str(silent))

    def _of_cluster(self, cluster: Cluster) -> Iterator[Finding]:
        site, resources = self.config.site, self.config.resources
        yield from partition_findings(cluster, site, resources)
        yield from policy_findings(cluster, site)
        yield from self._noted(iter([submission_finding(self.config)]))

    def _of_job(self) -> Iterator[Finding]:
        if not self.with_job:
            yield _JOB.not_checked("test job", "left out by --no-job")
            return
        if not self._can_submit:
            yield _JOB.not_checked("test job", "the problems above stand in its way")
            return
        paths = self._shared_paths()
        outcome = run_probe(self.config, paths, wait_s=self.wait_s, say=self.say)
        self._node = outcome.report or outcome.printed
        image = self.config.site.container
        yield from node_findings(
            outcome, probe_resources(self.config), Path(image) if image else None
        )

    def _shared_paths(self) -> list[Path]:
        """What exists here and has to on the node; a cache that is still to be made: where."""
        data_root, cache_root = resolve_roots(self.config.data_root, self.config.cache_root)
        return [nearest(cache_root), *([data_root] if data_root.is_dir() else [])]

    def _noted(self, findings: Iterator[Finding]) -> Iterator[Finding]:
        """Passes findings on; after a problem among them no job is submitted."""
        for finding in findings:
            self._can_submit &= finding.verdict != "problem"
            yield finding
