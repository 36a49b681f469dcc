"""Records of different images: refused, and how the message's own commands mend it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from mo_hpc import collect
from mo_hpc.core.errors import run_command
from mo_hpc.core.files import write_json
from mo_hpc.core.paths import RunPaths
from mo_hpc.plan.manifest import read_manifest

OLD, NEW = "a" * 64, "b" * 64


def ids(run: RunPaths, stage: str = "") -> list[str]:
    return [task.id for task in read_manifest(run).tasks if task.stage.startswith(stage)]


def made_in(run: RunPaths, image: str | None, tasks: list[str]) -> None:
    """Gives the records of tasks the digest of an image, as the worker writes it."""
    for task in tasks:
        path = run.task(task).metrics
        document = json.loads(path.read_text())
        document["provenance"]["image_sha256"] = image
        write_json(path, document)


@pytest.fixture
def small(make_run, tmp_path) -> RunPaths:
    """One pretraining and eight zero-shot tasks of it, all from one image."""
    run = make_run(tmp_path / "runs" / "synthetic" / "abc", paradigm="zero_shot")
    made_in(run, NEW, ids(run))
    return run


@pytest.fixture
def collected(capsys):
    def call(run: RunPaths, *options: str) -> tuple[int, str, str]:
        code = run_command(collect.main, [f"run={run.folder}", *options])
        return code, *capsys.readouterr()

    return call


def nothing_written(run: RunPaths) -> bool:
    return not run.tables.exists() and not run.report.exists()


def test_one_image_for_all_is_as_it_should_be(small, collected):
    code, out, err = collected(small, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["images"] == [{"sha256": NEW, "n_tasks": 9}]
    assert f"sha256 {NEW}" in small.report.read_text()
    assert "different environments" not in small.report.read_text()
    assert (small.tables / "tasks.csv").read_text().count(NEW[:12]) == 9


def test_no_image_at_all_is_one_kind(make_run, tmp_path, collected):
    run = make_run(tmp_path / "runs" / "synthetic" / "abc", paradigm="zero_shot")
    code, out, _ = collected(run, "--json")
    assert code == 0
    assert json.loads(out)["images"] == [{"sha256": None, "n_tasks": 9}]


@pytest.mark.parametrize("other", [OLD, None])
@pytest.mark.parametrize("options", [(), ("--partial",), ("--json",)])
def test_another_image_is_refused(small, collected, other, options):
    made_in(small, other, ids(small, "transfer")[2:4])
    code, out, err = collected(small, *options)
    said = " ".join(err.split())
    assert code == 2
    assert "come from 2 different environments" in said
    assert f"image sha256 {NEW}: 7 tasks (pretrain 1, transfer 6)" in said
    odd = f"image sha256 {OLD}" if other else "no image"
    assert f"{odd}: 2 tasks (transfer 2)" in said
    assert "launch the grid again with the image bbbbbbbbbbbb" in said
    assert max(len(line) for line in err.splitlines() if "/" not in line) <= 80
    assert nothing_written(small)
    if "--json" in options:
        assert json.loads(out)["error"]["what"].startswith("The records of this run")


def test_the_image_of_a_foundation_counts_too(small, collected):
    """Only the task that others start from is of another image: all of them are to go again."""
    made_in(small, OLD, ids(small, "pretrain"))
    code, _, err = collected(small)
    assert code == 2
    assert f"image sha256 {OLD}: 1 task (pretrain 1)" in " ".join(err.split())
    moved = [task for task in ids(small) if f"/tasks/{task}\\" in err]
    assert moved == ids(small)


def test_where_most_have_no_image_the_others_go_again_without_one(small, collected):
    made_in(small, None, ids(small))
    made_in(small, OLD, ids(small, "transfer")[:1])
    code, _, err = collected(small)
    assert code == 2
    assert "launch the grid again without an image" in " ".join(err.split())


def test_many_are_not_listed(make_run, tmp_path, collected):
    run = make_run(tmp_path / "runs" / "synthetic" / "abc")
    made_in(run, OLD, ids(run, "transfer")[:13])
    code, _, err = collected(run)
    assert code == 2
    assert "launch it with another runs_root=DIR" in " ".join(err.split())
    assert "set_aside" not in err


def shell_of(message: str, first: str) -> str:
    """A command that a message shows, with the lines that continue it."""
    lines = [line.removeprefix("  remedy:") for line in message.splitlines()]
    start = next(n for n, line in enumerate(lines) if line.strip().startswith(first))
    end = next(n for n in range(start, len(lines)) if not lines[n].endswith("\\"))
    return "\n".join(lines[start : end + 1])


def test_the_commands_of_the_message_do_what_it_says(small, collected, tmp_path):
    (odd,) = ids(small, "transfer")[:1]
    made_in(small, OLD, [odd])
    err = collected(small)[2]
    for first in ("mkdir", "mv"):
        subprocess.run(["bash", "-ec", shell_of(err, first)], check=True, cwd=tmp_path)
    assert not small.task(odd).folder.exists()
    assert (Path(f"{small.folder}.set_aside") / odd / "metrics.json").is_file()
    command = shell_of(err, "python -m mo_hpc.collect")
    assert command.replace("\\\n", " ").split() == [
        *("python", "-m", "mo_hpc.collect", "--mixed-images"),
        f"run={small.folder}",
    ]


def test_on_request_every_table_and_the_report_say_so(small, collected):
    made_in(small, OLD, ids(small, "transfer")[:3])
    code, out, _ = collected(small, "--mixed-images")
    sentence = (
        "Records of 2 different environments, collected on request: image bbbbbbbbbbbb: 6 tasks "
        "(pretrain 1, transfer 5); image aaaaaaaaaaaa: 3 tasks (transfer 3)."
    )
    assert code == 0
    assert sentence in " ".join(out.split())
    tables = sorted(small.tables.glob("*.md"))
    assert len(tables) >= 3
    assert [table.name for table in tables if sentence not in table.read_text()] == []
    latex = [" ".join(path.read_text().split()) for path in small.tables.glob("*.tex")]
    assert all("Records of 2 different environments" in text for text in latex)
    report = small.report.read_text()
    assert re.search(f"class='warning'><p>{re.escape(sentence)}", report)
    assert f"sha256 {OLD} (3 tasks); sha256 {NEW} (6 tasks)" in report

    made_in(small, NEW, ids(small))
    assert collected(small)[0] == 0
    assert "different environments" not in small.report.read_text()
