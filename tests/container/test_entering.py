"""Which image it is and what a process in it sees; the real thing is in tests/containers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mo_hpc
from mo_hpc.container import entering, image
from mo_hpc.container.entering import container_of, python_with
from mo_hpc.container.image import identify, labels, require_this_suite
from mo_hpc.container.script import DIGEST_VARIABLE, Bind
from mo_hpc.core.config import configs_folder
from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import SiteConfig
from mo_hpc.core.files import sha256_file
from mo_hpc.core.installation import code_sha256

RUNTIME = """\
#!{python}
import json, os, sys
if sys.argv[1] == "inspect":
    labels = json.loads(os.environ["LABELS"])
    print(json.dumps({{"data": {{"attributes": {{"labels": labels}}}}}}))
else:
    passed = {{k: v for k, v in os.environ.items() if k.startswith("APPTAINERENV_")}}
    proxy = os.environ.get("https_proxy")
    print(json.dumps({{"words": sys.argv[1:], "passed": passed, "https_proxy": proxy}}))
"""


@pytest.fixture
def sif(tmp_path):
    path = tmp_path / "image.sif"
    path.write_bytes(b"an image")
    return path


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """Stands in for Apptainer: tells how it was called; LABELS are those of any image."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "apptainer"
    path.write_text(RUNTIME.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("LABELS", json.dumps({image.VERSION_LABEL: mo_hpc.__version__}))
    monkeypatch.delenv(DIGEST_VARIABLE, raising=False)
    return path


@pytest.fixture
def container(runtime, sif, tmp_path):
    def make(*, writable=(), readable=(), **site):
        config = SiteConfig(name="s", container=str(sif), **site)
        roots = tmp_path / "data", tmp_path / "cache"
        roots[0].mkdir(exist_ok=True)
        return container_of(config, *roots, writable=writable, readable=readable)

    return make


def told(container, *arguments, **environment):
    """How the runtime was called."""
    done = subprocess.run(
        [*container.command(), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def binds(words):
    return [words[i + 1] for i, word in enumerate(words) if word == "--bind"]


# -- which image -----------------------------------------------------------------------


def test_an_image_is_hashed_once_and_again_when_it_changes(sif, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = identify(str(sif), cache)
    assert (first.sha256, first.size_bytes) == (sha256_file(sif), 8)
    monkeypatch.setattr(image, "sha256_file", lambda _: pytest.fail("hashed again"))
    assert identify(str(sif), cache) == first
    monkeypatch.undo()
    sif.write_bytes(b"another")
    assert identify(str(sif), cache).sha256 == sha256_file(sif) != first.sha256


@pytest.mark.parametrize(
    ("name", "said", "remedy"),
    [
        ("absent.sif", "There is no image", "containers/build"),
        (".", "is a folder", "containers/build"),
        ("docker://mo/hpc:1", "is an address", "apptainer pull image.sif docker://mo/hpc:1"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path, monkeypatch, name, said, remedy):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        identify(name, tmp_path / "cache")
    assert said in caught.value.what
    assert remedy in caught.value.remedy


def test_a_damaged_digest_in_the_cache_is_made_again(sif, tmp_path):
    cache = tmp_path / "cache"
    first = identify(str(sif), cache)
    (kept,) = (cache / "images").iterdir()
    kept.write_text('{"sha256": ')
    assert identify(str(sif), cache) == first
    kept.write_text("[]")
    assert identify(str(sif), cache) == first


@pytest.fixture
def image_with(runtime, sif, tmp_path, monkeypatch):
    """An image file of its own for each set of labels, which are read once per file."""

    def make(**labels):
        sif.write_bytes(json.dumps(labels).encode())
        monkeypatch.setenv("LABELS", json.dumps({f"mo_hpc.{k}": v for k, v in labels.items()}))
        return identify(str(sif), tmp_path / "cache")

    return make


def test_an_image_of_another_version_is_refused(image_with, capsys):
    require_this_suite(image_with(version=mo_hpc.__version__, code_sha256=code_sha256()))
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="not an image of mo_hpc"):
        require_this_suite(image_with(other="1"))
    with pytest.raises(UserError, match=r"holds mo_hpc 0\.0\.1"):
        require_this_suite(image_with(version="0.0.1"))


def test_other_code_of_the_same_version_is_said(image_with, capsys):
    require_this_suite(image_with(version=mo_hpc.__version__, code_sha256="0"))
    assert "holds other code than this mo_hpc" in capsys.readouterr().err


def test_a_file_that_is_no_image_is_refused_in_the_runtimes_words(sif, runtime, tmp_path):
    runtime.write_text("#!/bin/bash\necho 'FATAL: unknown image format' >&2; exit 255\n")
    with pytest.raises(UserError, match="is not an image: FATAL: unknown image format"):
        require_this_suite(identify(str(sif), tmp_path / "cache"))


def test_without_a_runtime_here_the_labels_are_unknown(sif, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    found = identify(str(sif), tmp_path / "cache")
    assert labels(found) is None
    require_this_suite(found)


# -- what is seen inside ---------------------------------------------------------------


def test_python_starts_in_the_image_with_its_arguments(container, sif):
    words = told(container(), "-m", "mo_hpc.worker", "a b")["words"]
    assert words[-5:] == [str(sif), "python", "-m", "mo_hpc.worker", "a b"]
    assert {"exec", "--cleanenv", "--no-home"} <= set(words)
    words = told(container(python="/venv/bin/python -E"), "x")["words"]
    assert words[-4:] == [str(sif), "/venv/bin/python", "-E", "x"]


def test_only_named_variables_reach_it(container):
    given = {
        "SLURM_PROCID": "1",
        "NCCL_DEBUG": "INFO",
        "MASTER_PORT": "1234",
        "OMP_NUM_THREADS": "2",
        "MO_HPC_JOB_ENDS": "5\nSLURM_FORGED=1",
        "LD_LIBRARY_PATH": "/modules",
        "PYTHONPATH": "/elsewhere",
        "HF_TOKEN": "secret",
        "SLURM_JWT": "secret",
        "MO_HPC_API_KEY": "secret",
    }
    passed = told(container(), **given)["passed"]
    inside = {key.removeprefix("APPTAINERENV_"): value for key, value in passed.items()}
    wanted = list(given)[:5]
    assert {key: inside.get(key) for key in wanted} == {key: given[key] for key in wanted}
    assert not inside.keys() & {*list(given)[5:], "SLURM_FORGED", "PATH", "HOME"}


def test_proxies_which_the_runtime_would_pass_on_are_taken_away(container):
    assert told(container(), https_proxy="http://me:secret@there:1")["https_proxy"] is None


def test_the_digest_and_the_roots_are_set_inside(container, sif, tmp_path):
    passed = told(container())["passed"]
    assert passed[f"APPTAINERENV_{DIGEST_VARIABLE}"] == sha256_file(sif)
    assert passed["APPTAINERENV_MO_HPC_CACHE"] == str(tmp_path / "cache")
    assert passed["APPTAINERENV_MO_HPC_DATA"] == str(tmp_path / "data")


def test_folders_are_bound_where_they_are(container, tmp_path, monkeypatch):
    runs = tmp_path / "data" / "my runs"
    model = tmp_path / "a.model"
    model.write_text("")
    monkeypatch.chdir(tmp_path)
    found = container(writable=[runs], readable=[model, tmp_path / "gone"], binds=("/var:ro",))
    configs = configs_folder()
    assert binds(told(found, TMPDIR="")["words"]) == [
        # The current folder first, or it would hide what is read-only below it.
        f"{tmp_path}:{tmp_path}",
        *sorted(
            [
                f"{model}:{model}:ro",
                f"{tmp_path}/cache:{tmp_path}/cache",
                f"{tmp_path}/data:{tmp_path}/data:ro",
                # Inside a folder that is read-only, and after it.
                f"{runs}:{runs}",
                "/var:/var:ro",
                f"{configs}:{configs}:ro",
            ],
            key=lambda bind: Path(bind.partition(":")[0]),
        ),
    ]
    assert runs.is_dir(), "what may be written is made"


def test_own_configurations_are_found_inside_through_a_link(container, tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("MO_HPC_CONFIGS", str(tmp_path / "link"))
    answer = told(container())
    assert answer["passed"]["APPTAINERENV_MO_HPC_CONFIGS"] == str(tmp_path / "real")
    assert f"{tmp_path}/real:{tmp_path}/real:ro" in binds(answer["words"])


def test_a_folder_for_temporary_files_comes_along(container, tmp_path):
    words = told(container(), TMPDIR=str(tmp_path))["words"]
    assert f"{tmp_path}:{tmp_path}" in binds(words)


def test_a_path_that_no_bind_can_carry_is_refused(tmp_path):
    with pytest.raises(UserError, match="colon"):
        Bind(tmp_path / "a:b")


@pytest.mark.parametrize("bind", ["relative", "/a:rw", "/a:/b"])
def test_binds_of_a_site_are_absolute_paths(bind):
    with pytest.raises(ValueError, match="is neither"):
        SiteConfig(name="s", binds=(bind,))


# -- refusals on the node --------------------------------------------------------------


def refusal(container, **environment):
    done = subprocess.run(
        container.command(),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 2
    return done.stderr


def test_a_changed_image_is_not_run(container, sif):
    found = container()
    sif.write_bytes(b"another image")
    assert "is not the file it was at the launch" in refusal(found)
    sif.unlink()
    assert "Launch again" in refusal(found)


def test_a_node_without_a_runtime_says_so(container, tmp_path):
    found = container()
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("bash", "uname", "stat"):
        (bare / name).symlink_to(shutil.which(name))
    assert "module load apptainer" in refusal(found, PATH=str(bare))


def test_the_script_is_clean(container, tmp_path):
    script = tmp_path / "enter_image"
    script.write_text(container(writable=[tmp_path / "a b"]).script("enter_image"))
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert done.stdout == ""


# -- who enters ------------------------------------------------------------------------


def test_nobody_enters_without_an_image_or_from_inside(container, tmp_path, monkeypatch):
    assert container_of(SiteConfig(name="s"), tmp_path, tmp_path) is None
    assert container() is not None
    monkeypatch.setenv(DIGEST_VARIABLE, "0" * 64)
    assert container() is None


def test_another_python_is_taken_only_for_what_this_one_lacks(container):
    found = container()
    assert python_with(["json"], found) == [sys.executable]
    assert python_with(["no_such_module"], None) == [sys.executable]
    assert python_with(["no_such_module"], found) == found.command()


def test_entering_replaces_the_process(container, monkeypatch):
    called = []
    monkeypatch.setattr(entering.os, "execvp", lambda *words: called.append(words))
    found = container()
    found.enter(["-m", "mo_hpc.launch", "grid=demo"])
    assert called == [("bash", [*found.command(), "-m", "mo_hpc.launch", "grid=demo"])]
