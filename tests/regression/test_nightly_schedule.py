"""Installing the nightly start three ways; nothing of anybody else's is touched."""

from __future__ import annotations

import json
import shlex
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_hpc import nightly
from mo_hpc.core.errors import UserError, run_command
from mo_hpc.regression.crontab import has_block, with_block, without_block
from mo_hpc.regression.script import job_name

ROOT = Path("/a/nightly")
OTHERS = "MAILTO=me\n# BEGIN mo_hpc nightly /another\n1 1 * * * x\n# END mo_hpc nightly /another\n"
DISABLED = 'echo "scrontab: fatal: scrontab is disabled on this cluster" >&2; exit 1'
JOBS = "echo 71; echo 72"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    folder = tmp_path / "a place; with $signs"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(capsys):
    """Runs the command and returns its status, document and stderr."""

    def run(*words):
        code = run_command(nightly.main, [*words, "--json"])
        shown = capsys.readouterr()
        return code, json.loads(shown.out), shown.err

    return run


@pytest.fixture
def slurm_program(make_program, tmp_path):
    """sbatch, squeue and scancel that note how they were called; returns the notes."""
    notes = tmp_path / "calls"
    notes.touch()
    waiting = tmp_path / "waiting"
    make_program("sbatch", f'echo "sbatch $*" >>"{notes}"; echo 71 >"{waiting}"')
    make_program("squeue", f'[[ ! -f "{waiting}" ]] || cat "{waiting}"')
    make_program("scancel", f'echo "scancel $*" >>"{notes}"; echo -n >"{waiting}"')
    return notes


# -- the block --------------------------------------------------------------------------

texts = st.lists(
    st.text("abc #*%\t", max_size=12).filter(lambda line: "mo_hpc" not in line), max_size=8
).map(lambda lines: "".join(f"{line}\n" for line in lines))


@given(before=texts, after=texts, lines=st.lists(st.sampled_from(["1 2 * * * x", "#SCRON y"])))
def test_a_block_comes_and_goes_and_every_other_line_stays(before, after, lines):
    with_one = with_block(before, lines, ROOT) + after
    assert has_block(with_one, ROOT)
    assert without_block(with_one, ROOT) == before + after
    again = with_block(with_one, ["new"], ROOT)
    assert without_block(again, ROOT) == before + after
    assert with_block(again, ["new"], ROOT) == again


def test_a_table_without_a_last_line_end_is_not_glued_to_the_block():
    assert with_block("1 1 * * * x", ["y"], ROOT).startswith("1 1 * * * x\n# BEGIN")


@pytest.mark.parametrize(
    "text", ["# BEGIN mo_hpc nightly /a/nightly\nx\n", "# END mo_hpc nightly /a/nightly\n"]
)
def test_half_a_block_is_left_for_its_owner(text):
    with pytest.raises(UserError, match="not a pair"):
        with_block(text, ["y"], ROOT)


# -- cron and scrontab ------------------------------------------------------------------


@pytest.mark.parametrize(("program", "method"), [("crontab", "cron"), ("scrontab", "scrontab")])
def test_install_is_idempotent_and_uninstall_leaves_the_rest(
    command, table_program, here, program, method
):
    table = table_program(program)
    table.write_text(OTHERS)
    code, document, _ = command("install", "executor=local", "--at", "04:05")
    assert (code, document["method"], document["installed"]) == (0, method, True)
    first = table.read_text()
    script = here / "nightly" / "nightly.sh"
    assert first.startswith(OTHERS)
    assert f"5 4 * * * {shlex.quote(str(script))}\n" in first
    assert ("#SCRON --job-name=mo_hpc-nightly-" in first) == (method == "scrontab")
    assert command("install", "executor=local", "--at", "04:05")[0] == 0
    assert table.read_text() == first
    assert command("install", "executor=local", "--at", "05:06")[0] == 0
    assert table.read_text() == first.replace("5 4 *", "6 5 *")
    code, document, _ = command("uninstall")
    assert document["removed"] == [f"the block in {program}", str(script)]
    assert table.read_text() == OTHERS
    assert command("uninstall")[1]["removed"] == []


def test_the_script_goes_where_it_was_installed_and_passes_words_on(
    command, table_program, here, monkeypatch, tmp_path
):
    table_program("crontab")
    seen = tmp_path / "seen"
    python = tmp_path / "py thon"
    python.write_text(
        f'#!/bin/bash\n{{ pwd; printf "%s\\n" "$MO_HPC_DATA" "$@"; }} >"{seen}"\n'
        'echo "it moved"; exit 1\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    monkeypatch.setenv("MO_HPC_DATA", "/data of 'mine'; rm -rf $HOME")
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    assert command("install", "axes.element=[Ta,W]", "nightly_root=a b")[0] == 0
    script = here / "a b" / "nightly.sh"
    assert "hidden" not in script.read_text()
    done = subprocess.run([script], env={}, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout == "it moved\n", "what cron mails"
    place, data, *arguments = seen.read_text().splitlines()
    assert (place, data) == (str(here), "/data of 'mine'; rm -rf $HOME")
    assert arguments[:3] == ["-m", "mo_hpc.nightly", "run"]
    assert {"axes.element=[Ta,W]", f"nightly_root={here}/a b"} <= set(arguments)
    assert (here / "a b" / "nightly.log").read_text() == "it moved\n"


def test_a_dry_run_shows_all_and_changes_nothing(command, table_program, here):
    table = table_program("crontab")
    code, document, _ = command("install", "--dry-run")
    assert (code, document["installed"]) == (0, False)
    assert document["table"][0].startswith("30 3 * * * ")
    assert "-m mo_hpc.nightly run" in document["script_text"]
    assert not table.exists()
    assert list(here.iterdir()) == []


def test_a_table_that_cannot_be_read_is_never_written(command, make_program, tmp_path):
    written = tmp_path / "written"
    make_program(
        "crontab",
        f'[[ $1 == -l ]] && {{ echo "you are not allowed to use this program" >&2; exit 1; }}\n'
        f'cp "$1" "{written}"',
    )
    code, document, _ = command("install", "--method", "cron")
    assert code == 2
    assert "you are not allowed" in document["error"]["what"]
    assert not written.exists()


def test_lines_that_scrontab_drops_with_status_0_are_noticed(command, make_program):
    make_program("scrontab", '[[ $1 == -l ]] && echo "no crontab for me" && exit 1; exit 0')
    code, document, _ = command("install")
    assert code == 2
    assert "did not take the lines" in document["error"]["what"]


def test_a_script_of_somebody_else_is_not_replaced(command, table_program, here):
    table = table_program("crontab")
    (here / "nightly").mkdir()
    (here / "nightly" / "nightly.sh").write_text("mine\n")
    assert command("install")[0] == 2
    assert (here / "nightly" / "nightly.sh").read_text() == "mine\n"
    assert not table.exists()
    assert command("uninstall")[1]["removed"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--at", "24:00"), "not of the form HH:MM"),
        (("--at", "3:30"), "not of the form HH:MM"),
        (("nightly_root=100%",), "'%' or a line break"),
        (("site=nowhere",), "Unknown site"),
        (("keep=0",), "whole number"),
        (("wait_hours=soon",), "number"),
        (("words",), "key=value"),
    ],
)
def test_wrong_input_is_named(command, table_program, words, said):
    table_program("scrontab")
    code, document, _ = command("install", *words)
    assert code == 2
    assert said in document["error"]["what"]


# -- which of them, and the job ---------------------------------------------------------


def test_auto_takes_the_first_that_works(command, make_program, table_program, slurm_program):
    make_program("scrontab", DISABLED)
    assert command("install", "--dry-run")[1]["method"] == "job"
    table_program("crontab")
    assert command("install", "--dry-run")[1]["method"] == "cron"
    code, document, _ = command("install", "--dry-run", "--method", "scrontab")
    assert code == 2
    assert "scrontab is disabled on this cluster" in document["error"]["what"]


def test_nothing_works(command, programs):
    code, document, _ = command("install")
    assert code == 2
    for program in ("scrontab", "crontab", "sbatch"):
        assert f"{program} is not on the path" in document["error"]["what"]


def test_a_job_is_submitted_once_for_the_next_hour(command, slurm_program, here):
    code, document, err = command("install", "--at", "04:05", "executor=slurm")
    assert (code, document["method"]) == (0, "job"), err
    (call,) = slurm_program.read_text().splitlines()
    script = here / "nightly" / "nightly.sh"
    begin = datetime.fromisoformat(call.split()[1].removeprefix("--begin="))
    assert call.endswith(str(script))
    assert (begin.hour, begin.minute) == (4, 5)
    assert 3600 <= (begin - datetime.now()).total_seconds() <= 90000 + 3600  # noqa: DTZ005
    options = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert f"#SBATCH --job-name={job_name(here / 'nightly')}" in options
    assert "#SBATCH --partition=nightly" in options
    assert "#SBATCH --no-requeue" in options


def test_a_second_install_replaces_the_job_and_uninstall_cancels_it(command, slurm_program):
    command("install", "--method", "job")
    command("install", "--method", "job")
    assert command("uninstall")[1]["removed"][0] == "the job 71"
    calls = [line.split()[0] for line in slurm_program.read_text().splitlines()]
    assert calls == ["sbatch", "scancel", "sbatch", "scancel"]


def test_a_night_submits_its_successor_first_and_only_one(
    command, slurm_program, here, monkeypatch, tmp_path, programs
):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/bash\necho "night" >>"{slurm_program}"; exit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    command("install", "--method", "job")
    (tmp_path / "waiting").unlink()
    script = here / "nightly" / "nightly.sh"
    for _ in range(2):
        environment = {"SLURM_JOB_ID": "71", "PATH": str(programs)}
        done = subprocess.run([script], env=environment, capture_output=True, check=False)
        assert done.returncode == 1
    calls = [line.split()[0] for line in slurm_program.read_text().splitlines()]
    assert calls == ["sbatch", "sbatch", "night", "night"]


def test_another_method_takes_the_place_of_the_first(command, slurm_program, table_program):
    command("install", "--method", "job")
    table = table_program("crontab")
    command("install", "--method", "cron")
    assert "scancel 71" in slurm_program.read_text()
    assert "nightly.sh" in table.read_text()


@pytest.mark.slurm
def test_a_real_slurm_takes_the_job_and_gives_it_back(command, here):
    from shutil import which

    if which("sinfo") is None or subprocess.run(["sinfo", "-h"], check=False).returncode:
        pytest.skip("no Slurm answers on this machine")
    words = ("--method", "job", "executor=slurm", "site.partition=", "--at", "03:30")
    name = job_name(here / "nightly")

    def jobs():
        shown = ["squeue", "-h", f"--name={name}", "-o", "%A %T %S %E"]
        return subprocess.run(shown, capture_output=True, text=True, check=True).stdout

    try:
        code, document, err = command("install", *words)
        assert code == 0, err or document
        first = jobs().split()
        assert first[1] == "PENDING"
        assert first[2].endswith("T03:30:00")
        assert command("install", *words)[0] == 0
        second = jobs().split()
        assert len(jobs().splitlines()) == 1
        assert second[0] != first[0]
        assert command("uninstall")[1]["removed"][0] == f"the job {second[0]}"
        assert jobs() == ""
    finally:
        subprocess.run(["scancel", f"--name={name}"], check=False)
