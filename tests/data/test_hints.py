"""Commands in messages: what a shell makes of them is what was meant."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from mo_hpc.core.config import dataset_config, foundation_config
from mo_hpc.core.errors import UserError
from mo_hpc.data.ensure import ensure_index
from mo_hpc.data.hints import data_command
from mo_hpc.data.trust import TrustEntry, foundation_file, record
from mo_hpc.plan.foundations import resolve_foundation


def words(commands: str) -> list[list[str]]:
    """The arguments that a shell hands to Python, of each command in a text."""
    script = f'python() {{ printf "%s\\n" "$@" "--"; }}\n{commands}\n'
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    found = printed.stdout.split("\n--\n")
    return [command.split("\n") for command in found[:-1]]


@pytest.mark.parametrize(
    "folder", ["/plain", "/with blank", "/it's $HOME", "/" + "long/" * 30 + "x y"]
)
def test_a_shell_reads_a_command_as_it_was_meant(folder: str) -> None:
    said = data_command("check", f"{folder}/a b.xyz", data_root=Path(folder), cache_root=Path("/c"))
    (found,) = words(said)
    expected = ["check", f"{folder}/a b.xyz", f"data_root={folder}", "cache_root=/c"]
    assert found == ["-m", "mo_hpc.data", *expected]


def test_default_roots_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MO_HPC_DATA", raising=False)
    monkeypatch.setenv("MO_HPC_CACHE", str(tmp_path))
    said = data_command(
        "check", "mo420", data_root=Path("data").absolute(), cache_root=tmp_path.absolute()
    )
    assert said == "python -m mo_hpc.data check mo420"


@pytest.mark.parametrize("folder", ["/short", "/" + "a" * 40 + "/b c", "/" + "long/" * 30 + "x"])
def test_a_message_does_not_break_a_command(folder: str) -> None:
    root = Path(folder)
    command = data_command("check", "mo420", data_root=root, cache_root=root / "cache")
    error = UserError("x", remedy=f"Run: {command}")
    remedy = str(error).partition("Run: ")[2]
    assert words(remedy) == [
        ["-m", "mo_hpc.data", "check", "mo420", f"data_root={root}", f"cache_root={root}/cache"]
    ]


def test_a_missing_dataset_is_fetched_into_the_root_in_use(tmp_path: Path) -> None:
    root = tmp_path / "my data"
    with pytest.raises(UserError) as caught:
        ensure_index(dataset_config("nbmotaw"), root, tmp_path)
    assert data_command("fetch", "nbmotaw", data_root=root) in str(caught.value.remedy)


def test_a_foundation_that_is_not_there_is_fetched_and_then_trusted(tmp_path: Path) -> None:
    data_root, cache_root = tmp_path / "my data", tmp_path / "my cache"
    file = foundation_file(foundation_config("mace_mp_0_small"), data_root)
    found = resolve_foundation("mace_mp_0_small", data_root, cache_root)
    assert found.path is None
    assert words(str(found.to_stage)) == [
        ["-m", "mo_hpc.data", "fetch", "mace_mp_0_small", f"data_root={data_root}"],
        ["-m", "mo_hpc.data", "trust", str(file), f"cache_root={cache_root}"],
    ]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK")
    (trust,) = words(str(resolve_foundation("mace_mp_0_small", data_root, cache_root).to_stage))
    assert trust[2] == "trust"


def test_an_accepted_file_with_other_parameters_is_no_registered_foundation(
    tmp_path: Path,
) -> None:
    # A file of one's own, accepted under its own name, and put in the place of another.
    path = foundation_file(foundation_config("mace_mp_0_small"), tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"PK")
    record(tmp_path, _accepted("my.model", b"PK"))
    with pytest.raises(UserError, match="another model") as caught:
        resolve_foundation("mace_mp_0_small", tmp_path, tmp_path)
    assert caught.value.valid == ("3,847,696",)
    assert data_command("fetch", "mace_mp_0_small", data_root=tmp_path) in str(caught.value.remedy)


def _accepted(name: str, content: bytes) -> TrustEntry:
    return TrustEntry(
        path=name,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        n_parameters=7,
        elements=("Mo",),
        origin="test",
        accepted_at="2026-01-01T00:00:00+00:00",
    )


@pytest.mark.parametrize("name", ["my.pt", "my", "my.model", "a b.model"])
def test_any_file_may_be_a_foundation(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"PK")
    found = resolve_foundation(name, tmp_path, tmp_path)
    assert words(str(found.to_stage)) == [
        ["-m", "mo_hpc.data", "trust", name, f"cache_root={tmp_path}"]
    ]
    record(tmp_path, _accepted(name, b"PK"))
    found = resolve_foundation(name, tmp_path, tmp_path)
    assert found.to_stage is None
    assert found.path == (tmp_path / name).resolve()
    assert found.reference.n_parameters == 7


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("folder", "is a folder"),
        ("./folder", "is a folder"),
        ("no/such", "does not exist"),
        ("nosuch.model", "does not exist"),
        ("mace_mp_0_smal", "Unknown foundation"),
    ],
)
def test_what_is_no_foundation_is_refused(
    name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=expected) as caught:
        resolve_foundation(name, tmp_path, tmp_path)
    assert "mace_mp_0_small" in str(caught.value)
