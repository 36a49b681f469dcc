"""What is said where a library is missing."""

from __future__ import annotations

import importlib.machinery
import subprocess
import sys

import pytest

from mo_hpc.core import libraries
from mo_hpc.core.errors import UserError
from mo_hpc.core.installation import lock_file
from mo_hpc.core.libraries import READING, TABLES, TRAINING, missing_libraries, require_libraries


def test_nothing_is_missing_where_everything_is_installed():
    assert missing_libraries((*READING, *TRAINING, *TABLES)) == []
    require_libraries(TRAINING, for_what="Training")


def test_looking_for_a_library_does_not_import_it():
    program = (
        "import sys\n"
        "from mo_hpc.core.libraries import TRAINING, TABLES, missing_libraries\n"
        "missing_libraries((*TRAINING, *TABLES))\n"
        "assert not {'torch', 'numpy', 'pandas', 'ase'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_missing_ones_are_named_with_both_ways_out():
    with pytest.raises(UserError) as caught:
        require_libraries(
            ["json", "no_such_library", "nor_this"],
            for_what="Making tables",
            in_image=["collect", "run=a run"],
        )
    error = caught.value
    assert error.what == (
        "Making tables needs libraries that this Python lacks: no_such_library, nor_this."
    )
    assert error.where == sys.executable
    lines = [line.strip() for line in str(error).splitlines()]
    assert "python -m pip install 'mo_hpc[all]'\\" in lines
    assert f"--constraint={lock_file()}" in lines
    assert "apptainer run IMAGE collect 'run=a run'" in lines


def test_where_a_launch_enters_the_image_the_launch_is_named():
    with pytest.raises(UserError, match="lacks: no_such_library") as caught:
        require_libraries(["no_such_library"], for_what="Running a task")
    assert "python -m mo_hpc.launch ... site.container=IMAGE" in str(caught.value)


def test_a_package_without_a_lock_is_installed_without_it(monkeypatch):
    monkeypatch.setattr(libraries, "lock_file", lambda: None)
    with pytest.raises(UserError) as caught:
        require_libraries(["no_such_library"], for_what="Running a task")
    assert "python -m pip install 'mo_hpc[all]'\n" in str(caught.value)


def test_a_folder_that_only_has_the_name_of_a_library_is_none(tmp_path, monkeypatch):
    """Such as a folder of data named ase in the working directory."""
    (tmp_path / "no_such_library").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.machinery.PathFinder.invalidate_caches()
    assert missing_libraries(["no_such_library"]) == ["no_such_library"]
