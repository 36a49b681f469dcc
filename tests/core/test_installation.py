"""Where the lock and the commit of a checkout, and of an installed package, are found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mo_hpc.core.files import sha256_file
from mo_hpc.core.installation import (
    BUILD_FILE,
    build_account,
    checkout,
    lock_file,
    locked_versions,
)

REPOSITORY = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ACCOUNT = {
    "version": "0.1.0",
    "commit": COMMIT,
    "dirty": False,
    "lock_sha256": "a" * 64,
    "built": "2026-01-01T00:00:00+00:00",
    "torch_variant": "cpu",
    "base": "debian",
}


def test_a_checkout_has_its_own_lock_and_needs_no_account(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / BUILD_FILE).write_text(json.dumps(ACCOUNT))
    assert checkout() == REPOSITORY
    assert lock_file() == REPOSITORY / "requirements.lock"
    assert build_account() is None


def test_versions_go_by_the_names_that_pip_compares():
    locked = locked_versions()
    assert {"torch", "mace-torch", "pyyaml", "typing-extensions", "opt-einsum"} <= set(locked)
    assert locked["submitit"] == "1.5.4"


@pytest.fixture
def installed(tmp_path):
    """An environment with a copy of the package and nothing of the checkout around it.

    Returns its folder (``sys.prefix``) and what tells what the code in it says of its origin.
    """
    package = tmp_path / "site-packages" / "mo_hpc"
    shutil.copytree(REPOSITORY / "mo_hpc", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "requirements.lock", package)

    def facts() -> dict[str, object]:
        program = (
            "import json, sys\n"
            f"sys.prefix = {str(tmp_path)!r}\n"
            "from mo_hpc.core.provenance import provenance\n"
            "from mo_hpc.core.installation import lock_file, locked_versions\n"
            "print(json.dumps(provenance() | {'lock': str(lock_file()),"
            " 'torch_pin': locked_versions().get('torch')}))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": str(package.parent)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return tmp_path, facts


def test_an_installed_package_carries_its_lock(installed):
    folder, facts = installed
    found = facts()
    assert found["lock"] == str(folder / "site-packages" / "mo_hpc" / "requirements.lock")
    assert found["torch_pin"] == "2.13.0"
    assert found["lock_sha256"] == sha256_file(REPOSITORY / "requirements.lock")
    assert found["git"] is None


def test_records_of_an_image_carry_the_commit_that_it_was_built_from(installed):
    folder, facts = installed
    (folder / BUILD_FILE).write_text(json.dumps(ACCOUNT))
    found = facts()
    assert found["git"] == {"commit": COMMIT, "dirty": False}
    assert found["lock_sha256"] == "a" * 64


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"commit": 3}', '{"commit": {"a": 1}}', "\x00\xff"]
)
def test_a_damaged_account_is_no_account_and_no_failure(installed, content):
    folder, facts = installed
    (folder / BUILD_FILE).write_text(content, encoding="latin-1")
    found = facts()
    assert found["git"] is None
    assert found["lock_sha256"] == sha256_file(REPOSITORY / "requirements.lock")


def test_an_account_without_a_commit_keeps_the_rest(installed):
    folder, facts = installed
    (folder / BUILD_FILE).write_text(json.dumps(ACCOUNT | {"commit": None, "dirty": None}))
    found = facts()
    assert (found["git"], found["lock_sha256"]) == (None, "a" * 64)
