"""A built image: what it says of itself, and that it works wherever it may run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
VENV = "/opt/mo_hpc/venv"
# All that a task imports, and what wants a folder to write to.
IMPORTS = """
import torch, mace.modules, mace.data, mace.cli.run_train, matscipy, matplotlib.pyplot, pandas
from mpi4py import MPI
"""
pytestmark = pytest.mark.image


def apptainer(*words: object, **options) -> subprocess.CompletedProcess[str]:
    environment = os.environ | options.pop("variables", {})
    return subprocess.run(
        ["apptainer", "--silent", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **options,
    )


def python(image: Path, code: str, *flags: str, **options) -> str:
    done = apptainer("exec", *flags, image, "python", "-c", code, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def account(image) -> dict:
    return json.loads(apptainer("exec", image, "cat", f"{VENV}/mo_hpc-build.json").stdout)


@pytest.fixture(scope="module")
def labels(image) -> dict:
    said = json.loads(apptainer("inspect", "--json", "--labels", image).stdout)
    return said["data"]["attributes"]["labels"]


# -- what it says of itself -----------------------------------------------------------


def test_labels_and_account_agree(labels, account):
    assert account["torch_variant"] in {"cpu", "cuda"}
    for key in ("version", "code_sha256", "lock_sha256", "torch_variant", "accelerate", "base"):
        assert labels[f"mo_hpc.{key}"] == account[key]
    dirty = "-dirty" if account["dirty"] else ""
    assert labels["mo_hpc.commit"] == (account["commit"] or "unknown") + dirty
    assert labels["org.opencontainers.image.revision"] == labels["mo_hpc.commit"]
    assert labels["org.opencontainers.image.created"] == account["built"]
    assert labels["org.opencontainers.image.title"] == "mo_hpc"


def test_every_build_has_a_random_id(account):
    assert uuid.UUID(account["id"]).version == 4


CODE_SHA256 = "from mo_hpc.core.installation import code_sha256; print(code_sha256())"


def test_the_code_inside_is_what_it_says(image, account):
    assert python(image, CODE_SHA256).strip() == account["code_sha256"]


def test_the_code_inside_is_that_of_its_commit(image, account, tmp_path):
    if account["dirty"] is not False:
        pytest.skip("The image was not built from the files of a commit.")
    git = ["git", "-C", REPOSITORY, "archive", account["commit"], "mo_hpc"]
    files = subprocess.run(git, check=False, capture_output=True)
    if files.returncode:
        pytest.skip(f"This checkout does not have the commit of the image, {account['commit']}.")
    subprocess.run(["tar", "-x", "-C", tmp_path], input=files.stdout, check=True)
    done = subprocess.run(
        [sys.executable, "-c", CODE_SHA256],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == account["code_sha256"]


def test_records_made_inside_carry_commit_and_lock(image, account):
    code = """
import json
from mo_hpc.core.provenance import provenance
print(json.dumps(provenance()))"""
    record = json.loads(python(image, code))
    assert record["lock_sha256"] == account["lock_sha256"]
    if account["commit"]:
        assert record["git"] == {"commit": account["commit"], "dirty": account["dirty"]}


def packages(image: Path, *locks: str) -> dict[str, str]:
    """Name → version in lock files of the image."""
    text = apptainer("exec", image, "cat", *(f"/opt/mo_hpc/{name}.lock" for name in locks)).stdout
    return dict(re.findall(r"^([\w.-]+)==([^\s\\]+)", text, re.MULTILINE))


def test_packages_are_those_of_the_locks_and_no_others(image):
    code = """
import importlib.metadata, json
print(json.dumps({d.name: d.version for d in importlib.metadata.distributions()}))"""
    found = json.loads(python(image, code))
    installed = {re.sub(r"[-_.]+", "-", name).lower(): v for name, v in found.items()}
    locked = packages(image, "image")
    assert {name: installed.get(name) for name in locked} == locked
    extra = installed.keys() - locked.keys()
    assert {"torch", "mo-hpc"} <= extra <= {"torch", "mo-hpc", *packages(image, "cuda", "cueq")}


# -- where it runs --------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--containall",),
        ("--cleanenv", "--no-home"),
        ("--nv",),
        ("--net", "--network", "none"),
        ("--no-mount", "home,cwd"),
    ],
    ids=" ".join,
)
def test_it_imports_all_without_a_word(image, flags):
    if "--net" in flags and apptainer("exec", *flags, image, "true").returncode:
        pytest.skip("This host lets no user make a network namespace.")
    # e3nn warns of what mace has set; that is theirs.
    done = apptainer("exec", *flags, image, "python", "-W", "ignore", "-c", IMPORTS, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_of_the_host_or_the_user_gets_in(image, tmp_path):
    planted = tmp_path / "mo_hpc"
    planted.mkdir()
    (planted / "__init__.py").write_text("raise SystemExit('planted')")
    site = tmp_path / ".local" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (site / "usercustomize.py").write_text("raise SystemExit('planted')")
    variables = {"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "x", "HOME": str(tmp_path)}
    variables |= {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    code = "import mo_hpc, sys, site; print(mo_hpc.__file__, sys.prefix, site.ENABLE_USER_SITE)"
    said = python(image, code, "--bind", str(tmp_path), variables=variables, cwd=tmp_path)
    package = f"{VENV}/lib/python3.11/site-packages/mo_hpc/__init__.py"
    assert said.split() == [package, VENV, "False"]


def test_it_is_read_only_and_compiled(image):
    done = apptainer("exec", image, "touch", f"{VENV}/x")
    assert done.returncode != 0
    assert "ead-only" in done.stderr
    # Every module that comes up was compiled when the image was built.
    code = """
import importlib.util, os, sys, torch, mace.modules, mo_hpc.launch, pandas
files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
ours = [file for file in files if file.startswith("/") and file.endswith(".py")]
print([f for f in ours if not os.path.exists(importlib.util.cache_from_source(f))])"""
    assert python(image, code).splitlines()[-1] == "[]"


@pytest.fixture
def image_for_all(image):
    """The image where every user can read it, whatever folder it was built in."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder) / "image.sif"
        shutil.copyfile(image, copy)
        copy.chmod(0o755)
        yield copy


def test_an_ordinary_user_can_use_it(image_for_all):
    if os.geteuid() != 0 or shutil.which("runuser") is None:
        pytest.skip("These tests run as an ordinary user already, or cannot become one.")
    flags = ["--containall", "--no-home"]
    inner = ["apptainer", "--silent", "exec", *flags, str(image_for_all), "python", "-c"]
    code = "import os, torch, mace.modules; print(os.getuid(), torch.ones(2).sum().item())"
    done = subprocess.run(
        ["runuser", "-u", "nobody", "--", *inner, code],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "65534 2.0"


# -- what it offers -------------------------------------------------------------------


def test_it_runs_the_suite_s_commands(image, tmp_path):
    done = apptainer(
        "run", "--bind", tmp_path, "--pwd", tmp_path, image, "launch", "grid=demo", "--dry-run"
    )
    assert done.returncode == 0, done.stderr
    assert "29" in done.stdout + done.stderr
    wrong = apptainer("run", image, "lunch")
    assert wrong.returncode == 2
    assert "launch" in wrong.stderr


@pytest.mark.parametrize("app", ["launch", "worker", "collect", "doctor"])
def test_apps_run_and_explain_themselves(image, app):
    explained = apptainer("run-help", "--app", app, image).stdout
    assert "apptainer run" in explained
    done = apptainer("run", "--app", app, image, "--help")
    assert done.returncode == 0, done.stderr
    assert f"mo_hpc.{app}" in done.stdout


def test_the_worker_is_given_the_folder_of_a_task(image):
    assert "IMAGE RUN/tasks/ID" in apptainer("run-help", "--app", "worker", image).stdout
    assert "RUN/tasks/ID" in apptainer("run", "--app", "worker", image, "--help").stdout


def test_its_own_test_passes(image):
    done = apptainer("test", image)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 problems" in done.stdout
