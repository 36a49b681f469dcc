"""The findings for people, in 80 columns, and as one document."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, get_args

from mo_hpc.core.schema import RunConfig
from mo_hpc.executors.checkup.finding import Finding, Verdict

DOCTOR_SCHEMA_VERSION = 1
_WIDTH = 80
_VERDICT_WIDTH = 13
_NAME_WIDTH = 18
_COUNTED = ("warning", "problem")


def opening(config: RunConfig) -> str:
    """What the site is judged by."""
    wanted = config.resources
    return textwrap.fill(
        f"site={config.site.name}, for tasks of grid={config.grid.name} with nodes="
        f"{wanted.nodes} tasks_per_node={wanted.tasks_per_node} "
        f"cpus_per_task={wanted.cpus_per_task} gpus_per_node={wanted.gpus_per_node} "
        f"memory_gb={wanted.memory_gb:g} time_min={wanted.time_min}",
        _WIDTH,
    )


def lines_of(finding: Finding) -> list[str]:
    """A finding: verdict, name, what was found and, below it, what to do."""
    head = f"  {finding.verdict:<{_VERDICT_WIDTH - 2}} {finding.name:<{_NAME_WIDTH}}"
    first, *further = finding.found.splitlines() or [""]
    indent = " " * len(head)
    lines = _filled(first, head, indent)
    for line in further:
        lines += _filled(line, indent, indent)
    if finding.remedy:
        lines += _filled(finding.remedy, f"{indent}→ ", f"{indent}  ")
    return lines


def printed(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Passes findings on and prints each as it comes, under the heading of its group."""
    group = None
    for finding in findings:
        if finding.group != group:
            group = finding.group
            print(f"\n{group}")
        print("\n".join(lines_of(finding)), flush=True)
        yield finding


def closing(findings: Iterable[Finding]) -> str:
    """How many findings there are of each verdict."""
    tally = Counter(finding.verdict for finding in findings)
    counted = [
        f"{tally[verdict]} {verdict}{'s' * (verdict in _COUNTED and tally[verdict] != 1)}"
        for verdict in get_args(Verdict)
    ]
    return ", ".join(counted) + "."


def has_problem(findings: Iterable[Finding]) -> bool:
    """True if a grid cannot run like this."""
    return any(finding.verdict == "problem" for finding in findings)


def document_of(config: RunConfig, findings: list[Finding]) -> dict[str, Any]:
    """The findings for programs."""
    return {
        "schema_version": DOCTOR_SCHEMA_VERSION,
        "site": config.site.name,
        "resources": config.resources.model_dump(mode="json"),
        "all_right": not has_problem(findings),
        "checks": checks_of(findings),
    }


def checks_of(findings: Iterable[Finding]) -> list[dict[str, str | None]]:
    """The findings as plain data."""
    return [asdict(finding) for finding in findings]


def _filled(text: str, first: str, further: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
