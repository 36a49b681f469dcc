"""The batch scripts that sites start from: short, clean, and quoted."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

JOBS = Path(__file__).parents[2] / "jobs"
SCRIPTS = sorted(path for path in JOBS.iterdir() if path.is_file())
MAX_LINES = 20

MEANT_BARE = re.compile(r"\[\[.*?\]\]|\(\(.*?\)\)|^\w+=\S+|\$(rc|\?)\b")
"""Where bash splits no words (tests, arithmetic, plain assignments), and exit statuses."""


def unquoted(line: str) -> list[str]:
    """The expansions of a line that are in no double quotes; ``"$(…)"`` may hold quotes."""
    found, depth, quoted = [], [], False
    for place, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif line.startswith("$(", place):
            depth.append(quoted)
            quoted = False
        elif character == ")" and depth:
            quoted = depth.pop()
        elif character == "$" and not quoted:
            found.append(line[place:])
    return found


def code_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]


def test_all_forms_are_there():
    assert {path.name for path in SCRIPTS} >= {
        "collect.sbatch",
        "grid.sh",
        "nightly.sbatch",
        "one_allocation.sbatch",
    }


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_says_how_to_start_it_and_parses(path):
    lines = path.read_text().splitlines()
    assert len(lines) < MAX_LINES
    assert lines[0] == "#!/usr/bin/env bash"
    assert any(f"jobs/{path.name}" in line for line in lines[1:4])
    assert "set -euo pipefail" in lines or lines[-1] == "exit $rc", "failures are passed on"
    assert max(map(len, lines)) <= 100
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_expansion_is_quoted(path):
    for line in code_lines(path):
        assert unquoted(MEANT_BARE.sub("", line)) == []


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ('run "$@" $x', ["$x"]),
        ('run --at="$(date -d "@$now" +%F)" "$@"', []),
        ('run "$(date -d @$now)"', ['$now)"']),
    ],
)
def test_what_counts_as_quoted(line, bare):
    assert unquoted(line) == bare


def test_the_nightly_job_submits_its_successor_before_it_runs(tmp_path):
    notes = tmp_path / "calls"
    for name in ("sbatch", "python"):
        program = tmp_path / name
        program.write_text(f'#!/bin/bash\nprintf "%s\\n" "{name} $*" >>"{notes}"\n')
        program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "MO_HPC_PYTHON": str(tmp_path / "python"),
        "NIGHTLY_AT": "04:05",
    }
    environment.pop("SLURM_JOB_ID", None)
    command = ["bash", JOBS / "nightly.sbatch", "site=a b"]
    subprocess.run(command, env=environment, check=True)
    subprocess.run(command, env=environment | {"SLURM_JOB_ID": "7"}, check=True)
    first, second, night = notes.read_text().splitlines()
    assert re.fullmatch(r"sbatch --begin=[-\d]+T04:05:00 jobs/nightly.sbatch site=a b", first)
    assert second == first
    assert night == "python -m mo_hpc.nightly run site=a b"
