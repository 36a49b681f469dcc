"""The page about faults: every test it names is there, every rule it states is the rule."""

import re
from pathlib import Path

import pytest

from mo_hpc.core.config import load_named
from mo_hpc.core.execution import RetryConfig, RetryRule
from mo_hpc.core.failure import EXPLANATIONS, FAILURE_CLASSES
from mo_hpc.core.validation import validated

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "faults.md").read_text()


def test_every_test_that_is_named_is_there():
    sources = "\n".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)", sources))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 40
    assert named <= there, f"not there: {sorted(named - there)}"


def test_every_row_names_its_proof():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and line.count("|") == 5]
    proved = [row for row in rows if "proved by" not in row and "by itself |" not in row]
    unproved = [row for row in proved if "`test_" not in row and not is_rule(row)]
    assert unproved == []


def is_rule(row):
    return row.split("`")[1] in FAILURE_CLASSES if row.startswith("| `") else False


@pytest.mark.parametrize("name", FAILURE_CLASSES)
def test_the_rules_are_those_of_the_default(name):
    default = validated(RetryConfig, load_named("retry", "default"), where="default")
    rule = default.rules.get(name, RetryRule())
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    _, _, explained, often, change, _ = (cell.strip() for cell in row.split("|"))
    assert explained == EXPLANATIONS[name]
    assert often == (f"{rule.times} times" if rule.times else "never")
    if rule.memory_factor > 1:
        assert change == f"{rule.memory_factor:g} × memory"
    if rule.time_factor > 1:
        assert change == f"{rule.time_factor:g} × time"
    if rule.exclude_node_after:
        assert change == f"not on a node with {rule.exclude_node_after}"
