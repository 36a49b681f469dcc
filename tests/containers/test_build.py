"""containers/build: what it refuses, takes from a cache, sends elsewhere and hands to Apptainer.

Apptainer and ssh are stand-ins here; tests/containers/test_image.py looks into a real image.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ENTERING = [
    "Apptainer.def",
    "LICENSE",
    "README.md",
    "containers",
    "mo_hpc/__init__.py",
    "configs/launch.yaml",
    "pyproject.toml",
    "requirements.lock",
]

# Notes how it was called and what it saw, and writes an "image" that names the inputs.
APPTAINER = """\
#!/usr/bin/env python3
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
if words[0] == "inspect":
    print("mo_hpc.torch_variant: cpu")
    sys.exit()
log = Path(os.environ["STAND_IN_LOG"])
pip = {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
calls = json.loads(log.read_text()) if log.exists() else []
source = next(w for w in words if w.startswith("SOURCE=")).removeprefix("SOURCE=")
files = sorted(str(p.relative_to(source)) for p in Path(source).rglob("*") if p.is_file())
log.write_text(json.dumps([*calls, {"words": words, "pip": pip, "files": files}]))
if os.environ.get("STAND_IN_FAILS"):
    sys.exit(255)
Path(words[-2]).write_bytes(b"image %d" % len(calls))
"""

# Runs the command on this machine, in a folder of its own, as sshd would.
SSH = """\
#!/bin/bash
[[ $1 == -- ]] && shift
host=$1; shift
[[ $host == good ]] || exit 255
if [[ -n ${STAND_IN_DAMAGES:-} && $* == cat* ]]; then echo damaged; exit; fi
cd / && exec bash -c "$*"
"""


@dataclass
class Workplace:
    """A checkout with one commit, and stand-ins first on the path."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def environment(self) -> dict[str, str]:
        hidden = ("PIP_", "APPTAINER", "SOURCE_DATE")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        return kept | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "TMPDIR": str(self.folder / "tmp"),
            "STAND_IN_LOG": str(self.folder / "calls.json"),
            "HOME": str(self.folder / "tmp"),
        }

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        command = ["git", "-C", str(self.checkout), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def build(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.checkout / "containers" / "build", *words],
            cwd=self.folder / "here",
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[dict]:
        log = self.folder / "calls.json"
        return json.loads(log.read_text()) if log.exists() else []

    def arguments(self, call: int = -1) -> dict[str, str]:
        words = self.calls()[call]["words"]
        pairs = [words[i + 1] for i, word in enumerate(words) if word == "--build-arg"]
        return dict(pair.split("=", 1) for pair in pairs)


@pytest.fixture
def workplace(tmp_path) -> Workplace:
    place = Workplace(tmp_path)
    for name in ENTERING:
        source, target = REPOSITORY / name, place.checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (place.checkout / ".gitignore").write_text("__pycache__/\n*.sif\n")
    place.git("init", "--quiet")
    place.git("add", "--all")
    place.git("commit", "--quiet", "--message", "all")
    for name, text in {"apptainer": APPTAINER, "ssh": SSH}.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    for name in ("tmp", "here", "base"):
        (tmp_path / name).mkdir()
    return place


def left_behind(place: Workplace) -> list[Path]:
    return [*(place.folder / "tmp").iterdir(), *(place.folder / "here").glob(".*")]


# -- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--torch cuda for nodes with NVIDIA GPUs"),
        (["--torch", "tpu"], "Valid: cpu, cuda"),
        (["--torch"], "--torch needs a value"),
        (["--torch", "cpu", "--frob"], "--frob is no option"),
        (["--torch", "cpu", "--accelerate"], "--accelerate needs --torch cuda"),
        (["--torch", "cpu", "--base-tree", "nowhere"], "The base nowhere does not exist"),
        (["--torch", "cpu", "--base", "a:1", "--base-tree", "."], "exclude each other"),
        (["--torch", "cpu", "--base", "a'b"], "a definition cannot hold"),
        (["--torch", "cpu", "--output", "nowhere/x.sif"], "folder of --output"),
        (["--torch", "cpu", "--output", "."], "is a folder"),
        (["--torch", "cpu", "--wheel", "nowhere.whl"], "pip wheel --no-deps"),
        (["--torch", "cpu", "--commit", "abc"], "here git knows it"),
        (["--torch", "cpu", "--compression", "lz9"], "Valid: zstd, gzip"),
        (["--torch", "cpu", "--remote", "good", "--cache", "c"], "exclude each other"),
        (["--torch", "cpu", "--remote", "bad"], "ssh could not reach bad"),
    ],
)
def test_wrong_input_ends_with_2_and_builds_nothing(workplace, words, said):
    done = workplace.build(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert workplace.calls() == left_behind(workplace) == []


def test_a_file_that_exists_is_replaced_with_force_alone(workplace):
    output = workplace.folder / "here" / "mo_hpc-cpu.sif"
    output.write_text("mine")
    done = workplace.build("--torch", "cpu")
    assert (done.returncode, output.read_text()) == (2, "mine")
    assert "--force" in done.stderr
    assert workplace.build("--torch", "cpu", "--force").returncode == 0
    assert output.read_text() == "image 0"


def test_without_apptainer_it_names_another_machine(workplace):
    for name in ("git", "tar", "mktemp", "mkdir", "rm", "dirname", "bash", "env", "realpath"):
        (workplace.folder / "few" / name).parent.mkdir(exist_ok=True)
        (workplace.folder / "few" / name).symlink_to(shutil.which(name))
    done = workplace.build("--torch", "cpu", PATH=str(workplace.folder / "few"))
    assert done.returncode == 2
    assert "no apptainer" in done.stderr
    assert "--remote" in done.stderr


def test_too_little_room_is_seen_before_the_build(workplace):
    df = workplace.folder / "bin" / "df"
    df.write_text("#!/bin/sh\necho Avail\necho 7000000\n")
    df.chmod(0o755)
    assert workplace.build("--torch", "cpu").returncode == 0
    done = workplace.build("--torch", "cuda")
    assert done.returncode == 2
    assert "7 GB free" in done.stderr
    assert len(workplace.calls()) == 1


def test_a_build_that_fails_leaves_nothing(workplace):
    done = workplace.build("--torch", "cpu", STAND_IN_FAILS="yes")
    assert done.returncode == 1
    assert left_behind(workplace) == list((workplace.folder / "here").iterdir()) == []


def test_a_file_that_appears_meanwhile_stays(workplace):
    output = workplace.folder / "here" / "mo_hpc-cpu.sif"
    ln = workplace.folder / "bin" / "ln"
    ln.write_text(f'#!/bin/sh\necho mine > {output}\nexec {shutil.which("ln")} "$@"\n')
    ln.chmod(0o755)
    done = workplace.build("--torch", "cpu")
    assert (done.returncode, output.read_text()) == (1, "mine\n")
    assert "appeared during the build" in done.stderr
    (finished,) = left_behind(workplace)
    assert str(finished) in done.stderr
    assert finished.read_text() == "image 0"


def test_a_file_system_without_hard_links_will_do(workplace):
    ln = workplace.folder / "bin" / "ln"
    ln.write_text("#!/bin/sh\necho ln: Operation not permitted >&2\nexit 1\n")
    ln.chmod(0o755)
    done = workplace.build("--torch", "cpu")
    assert done.returncode == 0, done.stderr
    assert (workplace.folder / "here" / "mo_hpc-cpu.sif").read_text() == "image 0"
    assert left_behind(workplace) == []


# -- the source -----------------------------------------------------------------------


def test_a_dirty_checkout_is_refused_with_its_files_or_built_as_such(workplace):
    changed = workplace.checkout / "mo_hpc" / "__init__.py"
    changed.write_text(changed.read_text() + "# changed\n")
    (workplace.checkout / "mo_hpc" / "new.py").write_text("NEW = 1\n")
    done = workplace.build("--torch", "cpu")
    assert done.returncode == 2
    assert "mo_hpc/__init__.py" in done.stderr
    assert "mo_hpc/new.py" in done.stderr
    assert workplace.calls() == []
    assert workplace.build("--torch", "cpu", "--dirty").returncode == 0
    assert workplace.arguments()["DIRTY"] == "true"
    assert workplace.arguments()["COMMIT"] == workplace.git("rev-parse", "HEAD")
    assert "mo_hpc/new.py" in workplace.calls()[0]["files"]


def test_what_stays_outside_the_image_may_differ(workplace):
    (workplace.checkout / "notes.txt").write_text("mine")
    assert workplace.build("--torch", "cpu").returncode == 0
    assert workplace.arguments()["DIRTY"] == "false"
    assert "notes.txt" not in workplace.calls()[0]["files"]


def test_a_wheel_has_no_commit(workplace):
    wheel = workplace.folder / "mo_hpc-0.1.0-py3-none-any.whl"
    wheel.write_text("wheel")
    assert workplace.build("--torch", "cpu", "--wheel", str(wheel)).returncode == 0
    arguments = workplace.arguments()
    assert (arguments["COMMIT"], arguments["DIRTY"]) == ("", "")
    assert arguments["WHEEL"].endswith(wheel.name)
    assert wheel.name in workplace.calls()[0]["files"]


def test_an_archive_states_its_commit(workplace):
    shutil.rmtree(workplace.checkout / ".git")
    done = workplace.build("--torch", "cpu")
    assert done.returncode == 2
    assert "--commit ID" in done.stderr
    assert workplace.build("--torch", "cpu", "--commit", "abc123").returncode == 0
    assert workplace.arguments()["COMMIT"] == "abc123"
    assert workplace.arguments()["DIRTY"] == "false"


# -- the result -----------------------------------------------------------------------


def test_it_prints_where_the_image_is_and_what(workplace):
    done = workplace.build("--torch", "cpu", "--base-tree", str(workplace.folder / "base"))
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    image = workplace.folder / "here" / "mo_hpc-cpu.sif"
    assert said["image"] == str(image)
    assert said["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert said["mo_hpc.torch_variant"] == "cpu"
    assert workplace.arguments()["BOOTSTRAP"] == "localimage"
    assert workplace.arguments()["FROM"] == str(workplace.folder / "base")
    assert left_behind(workplace) == []


def test_pip_finds_inside_what_it_finds_outside(workplace):
    wheels, index = workplace.folder / "wheels", workplace.folder / "index" / "simple"
    wheels.mkdir()
    index.mkdir(parents=True)
    settings = workplace.folder / "home" / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        f"[global]\nextra-index-url = file://{index}\n    https://example.org/simple\nuser = true\n"
    )
    variables = {"PIP_FIND_LINKS": str(wheels), "HOME": str(workplace.folder / "home")}
    done = workplace.build("--torch", "cpu", **variables)
    assert done.returncode == 0, done.stderr
    (call,) = workplace.calls()
    pip = call["pip"]
    assert pip["PIP_EXTRA_INDEX_URL"] == "file:///mnt/0/simple https://example.org/simple"
    assert pip["PIP_FIND_LINKS"] == "/mnt/1"
    binds = [call["words"][i + 1] for i, word in enumerate(call["words"]) if word == "--bind"]
    assert binds[0].endswith(":/mnt")
    assert binds[1:] == [f"{index.parent}:/mnt/0:ro", f"{workplace.folder}/wheels:/mnt/1:ro"]
    assert "user" not in " ".join(call["words"])


# -- cache ----------------------------------------------------------------------------


def test_the_hash_follows_what_enters_the_image_and_nothing_else(workplace):
    def key(*words: str) -> str:
        done = workplace.build("--torch", "cpu", "--inputs-hash", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    first = key()
    base, tree = key("--base", "debian:12"), key("--base-tree", str(workplace.folder / "base"))
    (workplace.folder / "base" / "file").write_text("1")
    assert len({first, base, tree, key("--base-tree", str(workplace.folder / "base"))}) == 4
    assert key("--compression", "gzip") != first
    (workplace.checkout / "notes.txt").write_text("mine")
    workplace.git("add", "--all")
    workplace.git("commit", "--quiet", "--message", "notes")
    assert key() == first
    (workplace.checkout / "configs" / "launch.yaml").write_text("other: true\n")
    assert key("--dirty") != first
    assert workplace.calls() == []


def test_the_hash_follows_where_torch_for_cpus_comes_from(workplace):
    wheels = workplace.folder / "wheels"
    wheels.mkdir()

    def key(variant: str = "cpu", **variables: str) -> str:
        done = workplace.build("--torch", variant, "--inputs-hash", **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def found_in_folder() -> str:
        return key(PIP_FIND_LINKS=str(wheels))

    mirror = "https://example.org/cpu"
    names = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
    keys = {key(**{name: mirror}) for name in names}
    assert key(TORCH_INDEX=mirror) in keys
    assert len(keys | {key(), key(PIP_INDEX_URL="https://example.org/other")}) == 5
    assert key(TORCH_INDEX="https://me:secret@example.org/cpu") == key(TORCH_INDEX=mirror)
    empty = found_in_folder()
    (wheels / "numpy-2.0.0-py3-none-any.whl").write_text("numpy")
    assert found_in_folder() == empty
    (wheels / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").write_text("torch")
    filled = found_in_folder()
    assert filled != empty
    assert filled == key(PIP_FIND_LINKS=f"file://{wheels.rename(wheels.with_name('moved'))}")
    # Torch for CUDA has its hash in a lock.
    assert key("cuda", PIP_INDEX_URL=mirror) == key("cuda")


def test_a_kept_image_is_used_again_unless_it_is_damaged(workplace):
    cache = workplace.folder / "cache"
    words = ["--torch", "cpu", "--cache", str(cache)]
    first = workplace.build(*words)
    assert first.returncode == 0, first.stderr
    (kept,) = cache.glob("*.sif")
    assert kept.stem == workplace.build("--torch", "cpu", "--inputs-hash").stdout.strip()
    again = workplace.build(*words, "--output", "copy.sif")
    assert again.returncode == 0, again.stderr
    assert "have not changed" in again.stderr
    assert (workplace.folder / "here" / "copy.sif").read_text() == "image 0"
    assert len(workplace.calls()) == 1
    kept.write_text("half an ima")
    repaired = workplace.build(*words)
    assert "damaged" in repaired.stderr
    assert kept.read_text() == "image 1"


def test_the_cache_keeps_the_three_images_used_last_and_what_is_not_its_own(workplace):
    cache = workplace.folder / "cache"
    cache.mkdir()
    (cache / "mine.sif").write_text("mine")
    (cache / "mine.sif.sha256").write_text("mine")
    launch = workplace.checkout / "configs" / "launch.yaml"

    def build(content: str) -> str:
        launch.write_text(f"content: {content}\n")
        done = workplace.build("--torch", "cpu", "--dirty", "--cache", str(cache))
        assert done.returncode == 0, done.stderr
        image = done.stdout.splitlines()[0].removeprefix("image: ")
        # Date and order of the files that the next build looks at.
        for digest in cache.glob("*.sha256"):
            os.utime(digest, (digest.stat().st_atime, digest.stat().st_mtime - 100))
        return Path(image).name

    first, second, third = build("1"), build("2"), build("3")
    date = (cache / first).stat().st_mtime_ns
    assert build("1") == first
    assert (cache / first).stat().st_mtime_ns == date
    fourth = build("4")
    names = {file.name for file in cache.iterdir()} - {".lock"}
    kept = {first, third, fourth}
    assert second not in names
    assert names == {n + end for n in kept | {"mine.sif"} for end in ("", ".sha256")}
    assert len(workplace.calls()) == 4


# -- another machine ------------------------------------------------------------------


def test_a_remote_build_comes_back_whole_and_leaves_nothing_there(workplace):
    done = workplace.build("--torch", "cpu", "--remote", "good", "--base", "debian:12")
    assert done.returncode == 0, done.stderr
    assert (workplace.folder / "here" / "mo_hpc-cpu.sif").read_text() == "image 0"
    arguments = workplace.arguments()
    assert arguments["COMMIT"] == workplace.git("rev-parse", "HEAD")
    assert (arguments["DIRTY"], arguments["FROM"]) == ("false", "debian:12")
    assert left_behind(workplace) == []


def test_a_remote_image_that_is_damaged_on_its_way_is_refused(workplace):
    done = workplace.build("--torch", "cpu", "--remote", "good", STAND_IN_DAMAGES="yes")
    assert done.returncode == 1
    assert "did not arrive whole" in done.stderr
    assert left_behind(workplace) == list((workplace.folder / "here").iterdir()) == []
