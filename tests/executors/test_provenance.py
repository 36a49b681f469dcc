"""What a record says about its origin, and what it must not say."""

import json
import subprocess
from pathlib import Path

import mo_hpc
from mo_hpc.core.files import sha256_file
from mo_hpc.core.provenance import provenance, slurm_job, utc_now


def test_versions_machine_and_code_are_named(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    facts = provenance()
    assert facts["mo_hpc"] == mo_hpc.__version__
    assert set(facts["libraries"]) == {"torch", "mace-torch", "e3nn", "numpy", "ase"}
    assert facts["threads"] == 3
    assert facts["machine"]["cores"] > 0
    assert facts["started"] <= utc_now()
    json.dumps(facts, allow_nan=False)


def test_the_commit_and_the_lock_are_those_of_the_checkout():
    checkout = Path(mo_hpc.__file__).parents[1]
    facts = provenance()
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    if commit.returncode == 0:
        assert len(facts["git"]["commit"]) == 40
    else:
        assert facts["git"] is None
    assert facts["lock_sha256"] == sha256_file(checkout / "requirements.lock")


def test_the_environment_is_not_copied(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hush-hush")
    assert "hush-hush" not in json.dumps(provenance())


def test_slurm_ids_are_those_of_the_job(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm_job() is None
    monkeypatch.setenv("SLURM_JOB_ID", "13")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert slurm_job() == {"job_id": "13", "array_task_id": "2"}
