"""The data command as a person or a script uses it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ase import Atoms

from mo_hpc.core.config import configs_folder, names
from mo_hpc.core.errors import run_command
from mo_hpc.data.__main__ import main


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command with roots below the test's folder; gives status, stdout and stderr."""
    monkeypatch.setenv("MO_HPC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MO_HPC_CACHE", str(tmp_path / "cache"))

    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run_command(main, words)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return command


def test_list_fits_the_terminal_and_names_everything(
    run: Callable[..., tuple[int, str, str]],
) -> None:
    status, out, _ = run("list")
    assert status == 0
    table = out.rsplit("\n\n", 1)[0]
    assert max(len(line) for line in table.splitlines()) <= 80
    assert all(name in out for name in [*names("dataset"), *names("foundation")])


def test_list_json_is_one_document(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = run("list", "--json")
    document = json.loads(out)
    assert status == 0
    states = {row["name"]: row["state"] for row in document["datasets"]}
    assert states["mo420"] == "missing"
    assert states["demo"] == "made on use"
    assert {row["state"] for row in document["foundations"]} == {"missing"}


def test_check_of_a_generated_set_makes_and_indexes_it(
    run: Callable[..., tuple[int, str, str]],
) -> None:
    assert run("check", "demo")[0] == 0
    rows = {row["name"]: row for row in json.loads(run("list", "--json")[1])["datasets"]}
    assert rows["demo"]["state"] == "present"
    assert rows["demo"]["frames"] == 368


def test_check_of_a_file_ends_with_1_if_it_has_errors(
    run: Callable[..., tuple[int, str, str]],
    crystal: Callable[..., Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
) -> None:
    frames = [crystal(seed) for seed in range(2)]
    assert run("check", str(write_sample(frames)))[0] == 0
    del frames[1].arrays["REF_forces"]
    status, out, _ = run("check", str(write_sample(frames)), "--json")
    document = json.loads(out)
    assert status == 1
    assert document["counts"]["error"] == 1
    assert document["findings"][0]["frame"] == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("check", "nosuch"), "nosuch"),
        (("check", "demo", "dataroot=x"), "data_root"),
        (("check", "demo", "loose"), "key=value"),
        (("build", "nbmotaw"), "demo, mo420"),
        (("build", "demo", "folder=x"), "folder"),
        (("gather", "demo"), "mo420"),
        (("gather", "mo420"), "data build mo420"),
        (("build", "nosuch"), "nosuch"),
        (("fetch", "mo420"), "on request"),
        (("trust", "nosuch.model"), "does not exist"),
        (("trust", "."), "is a folder"),
        (("check", "."), "is a folder"),
        (("check", "demo", "energy_key=foo"), "registered dataset"),
        (("fetch", "nbmotaw", "--mirror", "ftp://x"), "ftp://x"),
        (("fetch", "nbmotaw", "mirror=ftp://x"), "ftp://x"),
    ],
)
def test_bad_input_ends_with_2_and_one_message(
    words: tuple[str, ...], expected: str, run: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, err = run(*words)
    assert status == 2
    assert out == ""
    assert expected in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "needed"), [("check", "NAME|FILE"), ("trust", "FILE"), ("fetch", "NAME")]
)
def test_settings_are_not_required(
    command: str, needed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.endswith(f"arguments are required: {needed}\n")


def test_an_empty_file_is_not_clean(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "empty.xyz").touch()
    status, out, _ = run("check", str(tmp_path / "empty.xyz"), "--json")
    assert status == 1
    assert [item["kind"] for item in json.loads(out)["findings"]] == ["no_frames"]


@pytest.mark.parametrize("content", ["name: [", "name: broken\n", "- a\n", ""])
@pytest.mark.parametrize("group", ["dataset", "foundation"])
def test_list_shows_a_broken_entry_as_invalid(
    group: str,
    content: str,
    run: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(configs_folder(), tmp_path / "configs")
    monkeypatch.setattr("mo_hpc.core.config.configs_folder", lambda: tmp_path / "configs")
    (tmp_path / "configs" / group / "broken.yaml").write_text(content)
    status, out, _ = run("list", "--json")
    assert status == 0
    rows = {row["name"]: row for row in json.loads(out)[f"{group}s"]}
    assert rows["broken"]["state"] == "invalid"
    assert rows["broken"]["problem"]
    assert {row["state"] for row in rows.values()} > {"invalid"}
    status, out, _ = run("list")
    assert status == 0
    assert "broken is invalid: " in out


def test_trust_without_a_terminal_asks_for_yes(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", (tmp_path / "empty").open("w+"))
    (tmp_path / "some.model").write_bytes(b"PK")
    status, _, err = run("trust", str(tmp_path / "some.model"))
    assert status == 2
    assert "--yes" in err
    assert "sha256" in err


def test_words_may_stand_before_and_after_options(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere"
    for words in (
        ("list", "--json", f"data_root={other}"),
        ("list", f"data_root={other}", "--json"),
    ):
        assert json.loads(run(*words)[1])["data_root"] == str(other)


def test_help_of_every_command_teaches_and_imports_nothing_heavy() -> None:
    for words in ([], ["list"], ["fetch"], ["check"], ["build"], ["gather"], ["trust"]):
        code = (
            "import sys, runpy\n"
            f"sys.argv = ['mo_hpc.data', *{words!r}, '--help']\n"
            "try:\n    runpy.run_module('mo_hpc.data', run_name='__main__')\n"
            "except SystemExit as end:\n    assert end.code == 0\n"
            "assert not {'numpy', 'ase', 'torch', 'rich'} & set(sys.modules)\n"
        )
        finished = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stderr
        assert "data_root=DIR" in finished.stdout
        assert "energy_key=NAME" in finished.stdout
        assert max(map(len, finished.stdout.splitlines())) <= 80
        assert "examples:" in finished.stdout
