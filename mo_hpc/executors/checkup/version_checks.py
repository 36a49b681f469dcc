"""Python and packages: this side, the node's side, and what the suite is tested with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.executors.checkup.node_report import NodeReport, Software
from mo_hpc.executors.checkup.probe import PACKAGES

_GROUP = Group("Software")
_NODE_NEEDS = ("torch", "mace-torch", "e3nn", "ase", "numpy", "pydantic")
_HOST_NEEDS = ("pydantic", "hydra-core", "submitit")
_OLDEST_PYTHON = (3, 11)


def version_findings(
    host: Software, node: NodeReport | None, locked: Mapping[str, str]
) -> Iterator[Finding]:
    """Each side's versions; ``node`` is None where no test job told them."""
    yield _python("Python here", host)
    yield _packages("packages here", host, _HOST_NEEDS, locked)
    if node is None:
        yield _GROUP.not_checked("on the node", "no test job has told")
        return
    yield _python("Python on node", node)
    yield _packages("packages on node", node, _NODE_NEEDS, locked)
    yield _same_code(host, node)


def _python(name: str, side: Software) -> Finding:
    found = f"{side.python}, {side.executable}"
    numbers = tuple(int(part) for part in side.python.split(".")[:2])
    if numbers < _OLDEST_PYTHON:
        return _GROUP.problem(name, found, "Use Python 3.11 or later.")
    return _GROUP.ok(name, found)


def _packages(
    name: str, side: Software, needed: tuple[str, ...], locked: Mapping[str, str]
) -> Finding:
    known = {package: side.packages.get(package) for package in PACKAGES}
    missing = [package for package in needed if known[package] is None]
    if missing:
        return _GROUP.problem(
            name,
            f"missing: {', '.join(missing)}",
            "Install the project into that Python ('make setup'), or correct site.python.",
        )
    shown = ", ".join(f"{package} {version}" for package, version in known.items() if version)
    if not locked:
        return _GROUP.not_checked(name, f"{shown}; no requirements.lock to compare with")
    other = [
        f"{package} {version} (lock: {locked[package]})"
        for package, version in known.items()
        # A local part, such as +cu128, names the build and not the version.
        if version and package in locked and version.partition("+")[0] != locked[package]
    ]
    if other:
        return _GROUP.warning(
            name,
            "; ".join(other),
            "Install requirements.lock for the versions that the suite is tested with.",
        )
    return _GROUP.ok(name, f"{shown}; as in requirements.lock")


def _same_code(host: Software, node: NodeReport) -> Finding:
    if host.code_sha256 == node.code_sha256:
        return _GROUP.ok("mo_hpc", "the same code on both sides")
    return _GROUP.warning(
        "mo_hpc",
        f"other code on the node ({node.packages.get('mo_hpc')}) than here "
        f"({host.packages.get('mo_hpc')})",
        "Install the same commit on both sides, or build the image anew.",
    )
