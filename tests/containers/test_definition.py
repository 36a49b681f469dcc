"""What the image is made from: the locks, and that both definitions say the same."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
CONTAINERS = REPOSITORY / "containers"
DEFINITION = (REPOSITORY / "Apptainer.def").read_text()
DOCKERFILE = (CONTAINERS / "Dockerfile").read_text()
INSTALLER = (CONTAINERS / "install").read_text()
LOCKS = ["image.lock", "cuda.lock", "cueq.lock", "build.lock"]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s\\]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


TESTED = pins(REPOSITORY / "requirements.lock")


def load(name: str) -> ModuleType:
    """A script of containers/ as a module."""
    spec = importlib.util.spec_from_file_location(name, CONTAINERS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def section(name: str) -> str:
    """The body of a section of the definition."""
    match = re.search(rf"^%{name}\n(.*?)(?=^%|\Z)", DEFINITION, re.MULTILINE | re.DOTALL)
    assert match, name
    return match[1]


# -- locks ----------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_an_exact_version_and_a_hash(lock):
    text = (CONTAINERS / lock).read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines
    for name, digest in zip(lines[::2], lines[1::2], strict=True):
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+ \\", name)
        assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", digest)
    assert "://" not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_versions_are_those_that_the_suite_is_tested_with(lock):
    ours = pins(CONTAINERS / lock)
    common = ours.keys() & TESTED.keys()
    assert {name: ours[name] for name in common} == {name: TESTED[name] for name in common}


def test_the_image_has_what_the_project_asks_for_and_no_tools_of_developers():
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *(t for e in extras if e != "dev" for t in extras[e])]
    asked = {canonicalize_name(Requirement(text).name) for text in texts} - {"mo-hpc", "torch"}
    have = pins(CONTAINERS / "image.lock")
    assert asked <= have.keys()
    assert have.keys() <= TESTED.keys()
    assert "mpich" in have
    tools = {canonicalize_name(Requirement(text).name) for text in extras["dev"]} - {"packaging"}
    assert have.keys().isdisjoint(tools | {"torch"})


def test_the_cuda_locks_fit_torch_and_each_other():
    cuda, cueq = pins(CONTAINERS / "cuda.lock"), pins(CONTAINERS / "cueq.lock")
    assert cuda["torch"] == TESTED["torch"]
    (release,) = {m[1] for name in cuda if (m := re.fullmatch(r"nvidia-nccl-(cu\d+)", name))}
    assert f"cuequivariance-ops-torch-{release}" in cueq
    assert "triton" in cuda
    image = pins(CONTAINERS / "image.lock")
    assert image.keys().isdisjoint(cuda)
    assert cueq.keys().isdisjoint(image.keys() | cuda.keys())


def test_locks_are_written_with_the_python_of_the_image_alone(monkeypatch, capsys):
    lock = load("lock")
    monkeypatch.setattr(lock, "PYTHON", (3, 99))
    monkeypatch.setattr(sys, "argv", ["lock.py"])
    assert lock.main() == 2
    assert "Python 3.99" in capsys.readouterr().err


# -- definition and Dockerfile --------------------------------------------------------


def arguments_of_definition() -> dict[str, str]:
    return dict(re.findall(r"^    ([A-Z]+)=(.*)$", section("arguments"), re.MULTILINE))


def test_both_start_from_the_same_exact_base():
    (base,) = re.findall(r"^ARG FROM=(.+)$", DOCKERFILE, re.MULTILINE)
    assert base == arguments_of_definition()["FROM"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", base)


def test_both_have_the_same_choices():
    docker = dict(re.findall(r"^ARG ([A-Z_]+)=(.*)$", DOCKERFILE, re.MULTILINE))
    ours = arguments_of_definition()
    for name in ("TORCH", "ACCELERATE", "COMMIT", "DIRTY"):
        assert docker[name] == ours[name], name


def test_both_run_the_installer_and_give_it_all_that_it_reads():
    read = re.findall(r"^#   ([A-Z_]+) ", INSTALLER, re.MULTILINE)
    assert {"TORCH", "SOURCE", "WHEEL", "COMMIT"} <= set(read)
    for text in (section("post"), DOCKERFILE):
        assert re.search(r"sh \S+/containers/install", text)
        assert "pip install" not in text
    given = section("post") + section("setup")
    for name in set(read) - {"SOURCE_DATE_EPOCH", "TORCH_INDEX"}:
        assert re.search(rf"\b{name}=", given), name
        assert re.search(rf"\b{name}=", DOCKERFILE), name


@pytest.mark.parametrize("lock", LOCKS)
def test_the_installer_uses_each_lock_with_its_hashes(lock):
    if lock in {"cuda.lock", "cueq.lock"}:
        assert f"install_locked {lock}" in INSTALLER
        (command,) = re.findall(r"\$pip install .*containers/\$1", INSTALLER)
    else:
        flat = INSTALLER.replace("\\\n", " ")
        (command,) = re.findall(rf"\$tools (?:install|wheel) .*containers/{lock}", flat)
    assert "--require-hashes" in command
    assert "--no-deps" in command


def test_both_have_the_same_environment():
    lines = re.findall(r"^    export (.+)$", section("environment"), re.MULTILINE)
    exported = dict(word.split("=", 1) for line in lines for word in shlex.split(line))
    (block,) = re.findall(r"^ENV (.*?)\n\n", DOCKERFILE, re.MULTILINE | re.DOTALL)
    docker = dict(word.split("=", 1) for word in shlex.split(block.replace("\\\n", " ")))
    # Docker has no number of a user to put into the name of a folder.
    exported["MPLCONFIGDIR"] = exported["MPLCONFIGDIR"].removesuffix("-$(id -u)")
    exported["PATH"] = exported["PATH"].replace("$PATH", "${PATH}")
    assert exported == docker


def test_both_have_the_same_labels(tmp_path):
    written = set(re.findall(r'^    "((?:mo_hpc|org)\.[\w.]+)":', INSTALLER, re.MULTILINE))
    assert {"mo_hpc.commit", "mo_hpc.lock_sha256", "mo_hpc.code_sha256"} <= written
    fixed = dict(re.findall(r"^    (org\.\S+) (.+)$", section("labels"), re.MULTILINE))
    (block,) = re.findall(r"^LABEL (.*?)\n\n", DOCKERFILE, re.MULTILINE | re.DOTALL)
    words = shlex.split(block.replace("\\\n", " "))
    assert dict(word.split("=", 1) for word in words) == fixed
    # The rest is what the installer wrote, by the command at the top of the Dockerfile.
    file = tmp_path / "labels"
    found = {name: f"{name} of (this, here)" for name in written}
    file.write_text("".join(f"{name} {value}\n" for name, value in found.items()))
    (command,) = re.findall(r"^#     ('s/.*') /opt/mo_hpc/labels;", DOCKERFILE, re.MULTILINE)
    said = subprocess.run(
        ["sed", *shlex.split(command), file], check=True, capture_output=True, text=True
    ).stdout
    pairs = [shlex.split(line.removeprefix("LABEL ")) for line in said.splitlines()]
    assert dict(word.split("=", 1) for (word,) in pairs) == found


def test_both_run_the_suite_by_its_one_door():
    assert 'exec python -m mo_hpc "$@"' in section("runscript")
    assert 'ENTRYPOINT ["python", "-m", "mo_hpc"]' in DOCKERFILE


def test_docker_is_sent_no_more_than_enters_the_image():
    kept = re.findall(
        r"^!(\S+)$", (CONTAINERS / "Dockerfile.dockerignore").read_text(), re.MULTILINE
    )
    (files,) = re.findall(r'^    files="(.+)"$', section("setup"), re.MULTILINE)
    assert sorted(kept) == sorted(files.split())
    assert all((REPOSITORY / name).exists() for name in kept)


# -- scripts --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["setup", "post", "environment"])
def test_sections_of_the_definition_are_shell(name):
    done = subprocess.run(
        ["sh", "-n"], input=section(name), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
