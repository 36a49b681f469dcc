"""Does the cluster let a grid run: accounts, sizes of arrays, requeues, preemption?"""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping

from mo_hpc.core.execution import SiteConfig
from mo_hpc.executors.checkup.cluster import Cluster, seconds
from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.executors.slurm.commands import SlurmSilent, ask
from mo_hpc.executors.slurm.limits import Limits, cluster_limits

_GROUP = Group("Rules of the cluster")
_LEAST_MEMORY_OF_JOBS_S = 60


def policy_findings(cluster: Cluster, site: SiteConfig) -> Iterator[Finding]:
    """One finding for each rule that decides how a grid gets through."""
    partition = cluster.partitions.get(site.partition or cluster.default_partition() or "", {})
    own = site.model_copy(update={"max_array_size": None, "max_submit": None})
    limits = cluster_limits(own)
    yield from _account(cluster, site, partition)
    yield _array_size(site, limits)
    yield _submit_limit(site, limits)
    yield _requeue(cluster, site)
    yield _preemption(cluster, site, partition)
    yield _memory_of_jobs(cluster)


def _account(cluster: Cluster, site: SiteConfig, partition: Mapping[str, str]) -> Iterator[Finding]:
    asked = {"account": site.account, "qos": site.qos}
    if cluster.settings.get("AccountingStorageType", "").endswith("/none"):
        yield _GROUP.not_checked("account, qos", f"accounting is off; {_choice(asked)}")
        return
    user = getpass.getuser()
    try:
        told = ask("sacctmgr", "-n", "-P", "show", "assoc", f"user={user}", "format=Account,QOS")
    except SlurmSilent as silent:
        yield _GROUP.not_checked("account, qos", f"sacctmgr: {silent}")
        return
    rows = [line.split("|") for line in told.splitlines() if "|" in line]
    accounts = {row[0] for row in rows}
    usable = [row[1].split(",") for row in rows if site.account in {None, row[0]}]
    levels = {level for row in usable for level in row if level}
    if not rows and cluster.settings.get("AccountingStorageEnforce", "none") == "none":
        yield _GROUP.not_checked(
            "account, qos", f"accounts are not enforced, {user} has none; {_choice(asked)}"
        )
        return
    yield _among("account", site.account, accounts, partition.get("AllowAccounts", "ALL"))
    yield _among("qos", site.qos, levels, partition.get("AllowQos", "ALL"))


def _choice(asked: Mapping[str, str | None]) -> str:
    named = [f"{field}={value}" for field, value in asked.items() if value]
    return f"the site names {', '.join(named)}" if named else "the site names none"


def _among(field: str, value: str | None, mine: set[str], allowed: str) -> Finding:
    """Whether an account or quality of service is the user's and the partition takes it."""
    taken = mine if allowed == "ALL" else mine & set(allowed.split(","))
    valid = ", ".join(sorted(taken)) or "none"
    if value is None:
        return _GROUP.ok(field, f"your default; you may use: {valid}")
    if value not in taken:
        return _GROUP.problem(
            field,
            f"'{value}' is not yours in this partition; you may use: {valid}",
            f"Set site.{field} to one of these, or leave it out for your default.",
        )
    return _GROUP.ok(field, f"{value} is yours")


def _array_size(site: SiteConfig, limits: Limits) -> Finding:
    if limits.array_size is None:
        return _GROUP.not_checked("array size", "the cluster does not tell MaxArraySize")
    if site.max_array_size and site.max_array_size > limits.array_size:
        return _GROUP.problem(
            "array size",
            f"site.max_array_size={site.max_array_size}; the cluster takes {limits.array_size}",
            f"Set site.max_array_size to {limits.array_size} or less, or leave it out.",
        )
    size = site.max_array_size or limits.array_size
    return _GROUP.ok("array size", f"up to {size} elements; larger grids go in chunks")


def _submit_limit(site: SiteConfig, limits: Limits) -> Finding:
    most = site.max_submit or limits.submit
    if site.max_submit and limits.submit and site.max_submit > limits.submit:
        return _GROUP.problem(
            "jobs per user",
            f"site.max_submit={site.max_submit}; the cluster takes {limits.submit}",
            f"Set site.max_submit to {limits.submit} or less, or leave it out.",
        )
    if most is None:
        return _GROUP.ok("jobs per user", "the cluster tells no limit")
    return _GROUP.ok("jobs per user", f"up to {most}; what finds no room is submitted later")


def _requeue(cluster: Cluster, site: SiteConfig) -> Finding:
    if site.max_requeues == 0:
        return _GROUP.warning(
            "requeue",
            "site.max_requeues=0: a stopped task waits for the next launch",
            "Set site.max_requeues to 1 or more.",
        )
    default = "on" if cluster.settings.get("JobRequeue") == "1" else "off, so each job asks for it"
    return _GROUP.ok(
        "requeue", f"up to {site.max_requeues} times; the cluster's default is {default}"
    )


def _preemption(cluster: Cluster, site: SiteConfig, partition: Mapping[str, str]) -> Finding:
    mode = partition.get("PreemptMode") or cluster.settings.get("PreemptMode", "OFF")
    if cluster.settings.get("PreemptType", "").endswith("/none") or mode == "OFF":
        return _GROUP.ok("preemption", "jobs of this partition are not preempted")
    if mode == "CANCEL":
        return _GROUP.warning(
            "preemption",
            "preempted jobs are cancelled (PreemptMode=CANCEL), not requeued",
            "Launch again after a preemption, or choose a partition that requeues.",
        )
    grace_s = seconds(partition.get("GraceTime")) or 0
    total_s = grace_s + (seconds(cluster.settings.get("KillWait")) or 0)
    found = f"{mode}; a task gets {total_s} s to save (GraceTime {grace_s} s, then KillWait)"
    if total_s < site.signal_before_end_s:
        return _GROUP.warning(
            "preemption",
            f"{found}, less than signal_before_end_s={site.signal_before_end_s}",
            "If one training step and its checkpoint take longer than that, a preempted task "
            "repeats its work since the checkpoint before; nothing else is lost.",
        )
    return _GROUP.ok("preemption", found)


def _memory_of_jobs(cluster: Cluster) -> Finding:
    age_s = seconds(cluster.settings.get("MinJobAge"))
    if age_s is None:
        return _GROUP.not_checked("ended jobs", "the cluster does not tell MinJobAge")
    if age_s < _LEAST_MEMORY_OF_JOBS_S:
        return _GROUP.warning(
            "ended jobs",
            f"Slurm forgets them after {age_s} s (MinJobAge)",
            "Without accounting a lost node may then be shown as 'killed'; nothing is lost.",
        )
    return _GROUP.ok("ended jobs", f"Slurm remembers them for {age_s} s (MinJobAge)")
