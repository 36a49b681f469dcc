"""`containers/check`: what is wrong with a machine or an image decides its exit status."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CHECK = REPOSITORY / "containers" / "check"

# Answers as Apptainer does; what a test changes stands in the environment.
RUNTIME = r"""
case $* in
  --version) echo "apptainer version 9.9" ;;
  buildcfg) echo LIBEXECDIR=/nowhere ;;
  "inspect --labels "*) printf '%s\n' "$LABELS" ;;
  "verify "*) echo "$SIGNATURE" >&2; exit "${VERIFIED:-1}" ;;
  *" true") [ "${NEEDS_USERNS:-}" = "${APPTAINER_USERNS:-}" ] || { echo "no right" >&2; exit 1; }
    case $* in *"--network none"*) exit "${NO_NETWORK:-0}" ;; esac ;;
  *"--containall"*"selfcheck --quick") echo "contained"; exit "${CONTAINED:-0}" ;;
  *"--network none"*"selfcheck --quick") echo "without network" ;;
  *"selfcheck --folder"*) echo "full: $*"; exit "${FULL:-0}" ;;
  *"import torch"*) exit "${IMPORTS:-0}" ;;
  *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""
LABELS = """mo_hpc.version: 0.1.0
mo_hpc.commit: 1234567
mo_hpc.torch_variant: cpu
org.opencontainers.image.created: 2026-01-01T00:00:00Z"""


@pytest.fixture
def check(tmp_path):
    """Runs the command with a stand-in for Apptainer and returns status and output."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "apptainer").write_text(f"#!/bin/bash\n[ $1 = -q ] && shift\n{RUNTIME}")
    (folder / "apptainer").chmod(0o755)
    image = tmp_path / "my image.sif"
    image.write_bytes(b"an image")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "TMPDIR": str(scratch),
        "LABELS": LABELS,
        "SIGNATURE": "integrity: signature not found for object group 1",
    }
    environment.pop("APPTAINER_USERNS", None)
    environment.pop("MO_HPC_DATA", None)

    def run(*words, **variables):
        done = subprocess.run(
            [CHECK, image, *words],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert list(scratch.iterdir()) == []
        return done.returncode, done.stdout + done.stderr

    return run


def test_all_right(check, tmp_path):
    data, runs = tmp_path / "data", tmp_path / "runs"
    data.mkdir()
    runs.mkdir()
    words = ("--folder", str(runs), "--bind", "/scratch:/scratch:ro", "--repeats", "2")
    code, out = check(*words, MO_HPC_DATA=str(data))
    assert code == 0, out
    assert "All right" in out
    full = re.search("^full: (.*)$", out, re.MULTILINE).group(1)
    for part in ("--cleanenv", "--no-home", "--bind /scratch:/scratch:ro", f"--bind {runs} "):
        assert part in full
    assert f"--bind {data}:{data}:ro" in full
    assert full.endswith(f"selfcheck --folder {runs}")
    assert "contained" in out
    assert "without network" in out
    assert "none; its sha256 above" in " ".join(out.split())
    assert len(re.findall(r"[\d.]+ s, and [\d.]+ s after", out)) == 2


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"FULL": "1"}, "Checks that found a problem: 1."),
        ({"CONTAINED": "1"}, "Checks that found a problem: 1."),
        ({"FULL": "1", "CONTAINED": "1"}, "Checks that found a problem: 2."),
        ({"LABELS": "maintainer: me"}, "the image has no label mo_hpc.version"),
        ({"SIGNATURE": "the hash differs"}, "the hash differs"),
        ({"IMPORTS": "1"}, "it does not start"),
        ({"NEEDS_USERNS": "never"}, "no container starts: no right"),
    ],
)
def test_a_problem_is_named_and_the_status_is_1(check, variables, said):
    code, out = check("--repeats", "1", **variables)
    assert code == 1, out
    assert said in " ".join(out.split())
    assert "All right" not in out


def test_what_only_warns(check):
    code, out = check("--repeats", "1", NEEDS_USERNS="1", NO_NETWORK="1")
    assert code == 0, out
    assert "only with APPTAINER_USERNS=1" in out
    assert "gives users no network of their own" in " ".join(out.split())


def test_a_valid_signature_names_who_signed(check):
    said = {"SIGNATURE": "Signing entity: The Site <a@b.c>", "VERIFIED": "0"}
    code, out = check("--repeats", "1", **said)
    assert code == 0, out
    assert "Signing entity: The Site <a@b.c>" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--repeats", "0"), "--repeats 0 is not a number"),
        (("--folder", "/nowhere/at/all"), "There is no folder /nowhere/at/all."),
        (("--folder",), "--folder needs a value."),
        (("--fast",), "Unknown option --fast."),
        (("another.sif",), "Two images are named"),
    ],
)
def test_wrong_input(check, words, said):
    code, out = check(*words)
    assert code == 2
    assert said in out


@pytest.mark.parametrize("words", [(), ("absent.sif",)])
def test_no_image(words):
    done = subprocess.run([CHECK, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "image" in done.stderr


def test_on_a_node_the_same_words_without_slurm(check, tmp_path):
    srun = tmp_path / "bin" / "srun"
    srun.write_text('#!/bin/bash\nprintf "[%s]" "$@"\n')
    srun.chmod(0o755)
    words = ("--bind", "/a b:/a b", "--slurm", "--partition=gpu --gpus=2", "--folder", "/runs")
    code, out = check(*words)
    assert code == 0
    image = tmp_path / "my image.sif"
    assert out == (
        f"[--ntasks=1][--partition=gpu][--gpus=2][{CHECK}][{image}][--repeats][3]"
        "[--folder][/runs][--bind][/a b:/a b]"
    )


@pytest.mark.image
def test_a_real_image_on_this_machine(image, tmp_path):
    command = [CHECK, image, "--folder", tmp_path, "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All right" in done.stdout
    assert done.stdout.count("the loss fell:") == 3
    assert "2 ranks, gloo     24 gradients differ" in done.stdout
    assert "the sum over both" in done.stdout
    assert re.search(r"torch and MACE +\d+\.\d+ s, and \d+\.\d+ s", done.stdout)
    assert list(tmp_path.iterdir()) == []
