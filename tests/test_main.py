"""One name for all commands: the same words, the same result as the command by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mo_hpc
from mo_hpc import __main__ as door
from mo_hpc.core.errors import run_command

PACKAGE = Path(mo_hpc.__file__).parent


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_every_entry_module_is_a_command():
    entries = {
        path.stem if path.parent == PACKAGE else path.parent.name
        for path in (*PACKAGE.glob("*.py"), *PACKAGE.glob("*/__main__.py"))
        if 'if __name__ == "__main__":' in path.read_text()
    }
    assert set(door.COMMANDS) == entries - {"__main__"}


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_names_every_command_with_an_example(words, capsys):
    assert run_command(door.main, words) == 0
    shown = capsys.readouterr().out
    for name, command in door.COMMANDS.items():
        assert f"  {name} " in shown
        assert command.does in shown
        assert f"python -m mo_hpc {name} {command.example}\n" in shown


@pytest.mark.parametrize(
    "words",
    [
        ("launch", "grid=demo", "--dry-run"),
        ("launch", "grid=demo", "--dry-run", "--json"),
        ("launch", "grid=demoo"),
        ("status", "grid=demo"),
        ("data", "list"),
        ("collect", "--help"),
    ],
    ids=" ".join,
)
def test_a_command_does_what_its_module_does(words, tmp_path, cache_root, monkeypatch):
    monkeypatch.setenv("MO_HPC_CACHE", str(cache_root))
    name, *rest = words
    through = python("mo_hpc", *words, cwd=tmp_path)
    alone = python(f"mo_hpc.{name}", *rest, cwd=tmp_path)
    assert (through.returncode, through.stdout, through.stderr) == (
        alone.returncode,
        alone.stdout,
        alone.stderr,
    )
    assert alone.stdout or alone.returncode == 2


def test_an_unknown_command_names_the_nearest(capsys):
    assert run_command(door.main, ["lanch", "grid=demo"]) == 2
    error = capsys.readouterr().err
    assert "Unknown command 'lanch'." in error
    assert "launch" in error.partition("remedy:")[2]
    assert run_command(door.main, ["lanch", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert set(document["error"]["valid"]) == set(door.COMMANDS)


def test_version(capsys):
    assert run_command(door.main, ["--version"]) == 0
    assert capsys.readouterr().out == f"mo_hpc {mo_hpc.__version__}\n"


def test_the_installed_program_is_this_one(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mo_hpc", "--version"])
    assert door.console() == 0
    assert mo_hpc.__version__ in capsys.readouterr().out
