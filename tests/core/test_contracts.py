"""Errors, paths, records, the index and the registry: what every part relies on."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mo_hpc.core import registry
from mo_hpc.core.elements import ATOMIC_NUMBERS, SYMBOLS
from mo_hpc.core.errors import UserError, WorkIncomplete, run_command, unknown_name
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import write_json
from mo_hpc.core.index import DatasetIndex, FrameEntry, index_folder, read_index, write_index
from mo_hpc.core.paths import RunPaths, default_cache_root, default_data_root
from mo_hpc.core.record import (
    EnergyReferences,
    ErrorRecord,
    Record,
    TrainingSummary,
    TrainRecord,
    read_error,
    read_record,
    read_task,
    record_if_done,
    why_not_done,
    write_error,
    write_record,
)
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import LeakageAudit, Runtime, SplitSummary, TaskSpec

properties = settings(max_examples=60, deadline=None)

# -- errors ---------------------------------------------------------------------------


def test_message_names_what_where_valid_and_remedy():
    error = UserError("It is wrong.", where="train.x", valid=["a", "b"], remedy="Write a.")
    assert str(error).splitlines() == [
        "It is wrong.",
        "  where:  train.x",
        "  valid:  a, b",
        "  remedy: Write a.",
    ]


@properties
@given(
    st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=300),
    st.lists(st.sampled_from(SYMBOLS), max_size=90),
)
def test_messages_fit_a_terminal(prose, valid):
    words = " ".join(word[:40] for word in prose.split()) or "x"
    error = UserError(words, where=words, valid=valid, remedy=words)
    assert max(map(len, f"error: {error}".splitlines())) <= 80


def test_commands_and_paths_are_not_broken():
    command = "python -m mo_hpc.data fetch nbmotaw --mirror=" + "x" * 60
    assert command.rsplit(" ", 1)[1] in str(UserError("Missing.", remedy=command))


def test_long_lists_say_how_many_more():
    assert "and 78 more" in str(UserError("Wrong.", valid=SYMBOLS))


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserError("Wrong.", remedy="Mend it."), 2, "error: Wrong.\n  remedy: Mend it.\n"),
        (WorkIncomplete("Two tasks failed."), 1, "Two tasks failed.\n"),
        (KeyboardInterrupt(), 130, "Interrupted; what was finished is kept.\n"),
    ],
)
def test_commands_end_with_a_message_and_a_status(capsys, error, status, said):
    def command(_arguments):
        raise error

    assert run_command(command, []) == status
    assert capsys.readouterr() == ("", said)


def test_an_error_is_one_document_where_one_was_asked_for(capsys):
    def command(_arguments):
        raise UserError("Wrong.", where="train.x", valid=["a"], remedy="Write a.")

    assert run_command(command, ["x=1", "--json"]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: Wrong.")
    assert json.loads(shown.out) == {
        "schema_version": 1,
        "error": {"what": "Wrong.", "where": "train.x", "valid": ["a"], "remedy": "Write a."},
    }


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/full/x"), "Free space there"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/file/x"), "is a file where"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/folder/x"), "rename or remove it"),
        (PermissionError(errno.EACCES, "Permission denied", "/closed/x"), "you may read and"),
    ],
)
def test_what_the_system_refuses_is_a_message_with_path_and_remedy(capsys, error, said):
    def command(_arguments):
        raise error

    assert run_command(command, []) == 2
    shown = capsys.readouterr().err
    assert f"{error.strerror}." in shown
    assert f"where:  {error.filename}\n" in shown
    assert said in " ".join(shown.split())


def test_programming_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda _: 1 // 0, [])


def test_nearest_name_is_proposed():
    assert unknown_name("grid", "lodo_ful", ["demo", "lodo_full"]).remedy == (
        "Did you mean grid=lodo_full?"
    )
    assert unknown_name("grid", "zzz", ["demo"]).remedy is None


# -- elements -------------------------------------------------------------------------


def test_periodic_table():
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 118
    known = {"H": 1, "C": 6, "Mo": 42, "W": 74, "No": 102, "Og": 118}
    assert {symbol: ATOMIC_NUMBERS[symbol] for symbol in known} == known


# -- paths ----------------------------------------------------------------------------


def test_files_of_a_task_lie_in_its_folder_and_differ(tmp_path):
    task = RunPaths(tmp_path).task("transfer-Nb-01234567")
    assert task.folder == tmp_path / "tasks" / "transfer-Nb-01234567"
    properties_of = [
        name for name, value in vars(type(task)).items() if isinstance(value, property)
    ]
    files = [getattr(task, name) for name in properties_of]
    assert len(set(files)) == len(files)
    assert all(path.is_relative_to(task.folder) for path in files)


def test_last_attempt_is_the_highest_number(tmp_path):
    task = RunPaths(tmp_path).task("a")
    assert task.last_attempt() == 0
    for number in (1, 2, 10):
        task.attempt(number).mkdir(parents=True)
    assert task.last_attempt() == 10


def test_places_come_from_the_environment(monkeypatch, tmp_path):
    for name in ("MO_HPC_DATA", "MO_HPC_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_root() == Path("data")
    assert default_cache_root() == tmp_path / ".cache" / "mo_hpc"
    monkeypatch.setenv("XDG_CACHE_HOME", "xdg")
    assert default_cache_root() == Path("xdg/mo_hpc")
    monkeypatch.setenv("MO_HPC_CACHE", "cache")
    monkeypatch.setenv("MO_HPC_DATA", "elsewhere")
    assert default_cache_root() == Path("cache")
    assert default_data_root() == Path("elsewhere")


# -- records --------------------------------------------------------------------------


def a_record(**changes) -> TrainRecord:
    audit = LeakageAudit(
        n_duplicates=0,
        n_near_duplicates=1,
        n_shared_groups=0,
        held_out_element_in_train=False,
        n_train_with_held_out_element=0,
        findings=("Test frames with a near-duplicate in train or valid: 1.",),
    )
    split = SplitSummary(
        config=SplitConfig(protocol="lodo_strict", element="Nb"),
        digest="0" * 64,
        n_train=8,
        n_valid=1,
        n_test=1,
        n_excluded=0,
        train_elements=("Mo", "Ta"),
        test_elements=("Mo", "Nb"),
        audit=audit,
    )
    fields = {
        "task_id": "transfer-Nb-01234567",
        "digest": "0" * 64,
        "grid": "demo",
        "stage": "transfer",
        "axes": {"element": "Nb", "repeat": 0, "grouped": True, "share": 0.5},
        "paradigm": "scratch",
        "dataset": "demo",
        "dataset_hash": "1" * 64,
        "subset": None,
        "labels": "EAM",
        "synthetic": True,
        "split": split,
        "foundation": None,
        "seed": 42,
        "energy_references": EnergyReferences(
            policy="average", values_ev={"Mo": -6.8}, sources={"Mo": "fitted"}
        ),
        "training": TrainingSummary(
            epochs=2,
            best_epoch=1,
            steps=4,
            stopped_by="max_epochs",
            best_valid_loss=0.1,
            wall_time_s=1.5,
            effective_batch_size=4,
            world_size=1,
            learning_rate_first=1e-2,
            learning_rate_last=1e-2,
            resumed=0,
        ),
        "n_parameters": 10,
        "n_trainable_parameters": 10,
        "metrics": {"energy_mae_mev_per_atom": 1.25, "by_host": {"bcc": {"n_frames": 1}}},
        "valid_metrics": {},
        "model_sha256": None,
        "predictions_sha256": "2" * 64,
        "wall_time_s": 2.0,
        "provenance": {"commit": None},
    }
    return TrainRecord(**(fields | changes))


def an_error() -> ErrorRecord:
    return ErrorRecord(
        task_id="a",
        digest="0" * 64,
        failure_class="diverged",
        error_type="DivergedError",
        message="The loss is not finite.",
        traceback="…",
        provenance={},
    )


def test_record_comes_back_as_it_was_and_ends_the_failure(tmp_path):
    task = RunPaths(tmp_path).task("a")
    write_error(task, an_error())
    assert read_error(task) == an_error()
    write_record(task, a_record())
    assert read_record(task) == a_record()
    assert not task.error.exists()


def test_types_of_axis_values_survive(tmp_path):
    task = RunPaths(tmp_path).task("a")
    write_record(task, a_record())
    axes = read_record(task).axes
    assert {name: type(value) for name, value in axes.items()} == {
        "element": str,
        "repeat": int,
        "grouped": bool,
        "share": float,
    }


def test_record_that_cannot_be_written_keeps_the_failure(tmp_path):
    task = RunPaths(tmp_path).task("a")
    write_error(task, an_error())
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(task, a_record(metrics={"energy_mae_mev_per_atom": float("nan")}))
    assert not task.metrics.exists()
    assert task.error.exists()


def test_record_of_another_schema_names_the_field(tmp_path):
    task = RunPaths(tmp_path).task("a")
    write_record(task, a_record())
    document = json.loads(task.metrics.read_text()) | {"surprise": 1}
    task.metrics.write_text(json.dumps(document))
    with pytest.raises(UserError, match="Unknown key 'surprise'") as caught:
        read_record(task)
    assert str(task.metrics) in str(caught.value.where)


def test_a_record_without_its_model_does_not_count(tmp_path):
    task = RunPaths(tmp_path).task("a")
    record = a_record(model_sha256="3" * 64)
    write_record(task, record)
    assert "its model is missing" in str(why_not_done(task, record.task_id, record.digest))
    task.model.write_bytes(b"model")
    assert why_not_done(task, record.task_id, record.digest) is None


def test_records_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        a_record().grid = "other"


# -- index ----------------------------------------------------------------------------

entries = st.builds(
    FrameEntry,
    id=st.text(min_size=1),
    composition=st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 200), min_size=1),
    group=st.text(),
    tags=st.dictionaries(
        st.text(), st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False)
    ),
    host=st.sampled_from(["bcc", "fcc", "-"]),
    fingerprint=st.text(),
    near=st.text(),
    energy_ev=st.floats(allow_nan=False, allow_infinity=False),
)


@properties
@given(st.lists(entries, max_size=5))
def test_index_comes_back_as_it_was(tmp_path_factory, frames):
    folder = index_folder(tmp_path_factory.mktemp("cache"), "0" * 64)
    index = DatasetIndex("demo", "0" * 64, tuple(frames), n_problems=3)
    write_index(folder, index)
    assert read_index(folder) == index


def test_half_an_index_is_none(tmp_path):
    frames = tuple(FrameEntry(f"f#{n}", {"Mo": 2}, "g") for n in range(3))
    write_index(tmp_path, DatasetIndex("demo", "0" * 64, frames))
    lines = (tmp_path / "index.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "index.jsonl").write_text("".join(lines[:2]))
    assert read_index(tmp_path) is None
    (tmp_path / "index.json").unlink()
    assert read_index(tmp_path) is None


def test_solutes_are_the_elements_beside_the_host():
    frame = FrameEntry("f#0", {"Mo": 126, "Nb": 1, "Ta": 1}, "g")
    assert frame.solutes("Mo") == {"Nb", "Ta"}
    assert frame.n_atoms == 128
    assert FrameEntry("f#0", {"Mo": 128}, "g").solutes("Mo") == frozenset()


# -- registry -------------------------------------------------------------------------


def test_unknown_part_lists_the_registered_ones():
    with pytest.raises(UserError, match="Unknown executor 'slum'") as caught:
        registry.load(registry.EXECUTORS, "executor", "slum")
    assert caught.value.valid == tuple(sorted(registry.EXECUTORS))
    assert caught.value.remedy == "Did you mean executor=slurm?"


def test_a_record_from_before_there_were_kinds_is_of_a_training(tmp_path):
    task = RunPaths(tmp_path).task("a")
    write_record(task, a_record())
    document = json.loads(task.metrics.read_text())
    del document["kind"]
    task.metrics.write_text(json.dumps(document))
    assert read_record(task) == a_record()


class CountTask(TaskSpec):
    """A kind of task without dataset, split or training."""

    n_wanted: int


class CountRecord(Record):
    """What such a task leaves behind."""

    n_found: int

    def outputs(self, paths):
        return {"list": paths.folder / "list.txt"}


@pytest.fixture
def counting(monkeypatch):
    """Registers another kind of task."""
    here = f"{__name__}:"
    kind = registry.TaskKind(here + "CountTask", here + "CountRecord", here + "-", here + "-", ())
    monkeypatch.setitem(registry.TASK_KINDS, "count", kind)


def test_tasks_and_records_are_read_as_those_of_their_kind(tmp_path, counting):
    paths = RunPaths(tmp_path).task("a")
    common = {"digest": "0" * 64, "kind": "count", "grid": "g", "stage": "s", "axes": {}}
    runtime = Runtime(data_root="-", cache_root="-")
    task = CountTask(id="a", n_wanted=3, resources=Resources(), runtime=runtime, **common)
    write_json(paths.task, task.model_dump(mode="json"))
    assert read_task(paths) == task
    record = CountRecord(task_id="a", n_found=2, wall_time_s=1.0, provenance={}, **common)
    write_record(paths, record)
    assert read_record(paths) == record
    assert why_not_done(paths, "a", task.digest) == "is there, but its list is missing (list.txt)"
    (paths.folder / "list.txt").touch()
    assert record_if_done(paths, "a", task.digest) == record
    # Without the fields of a training, it is none.
    write_json(paths.metrics, record.model_dump(mode="json") | {"kind": "train"})
    assert "is not a record" in str(record_if_done(paths, "a", task.digest))


def test_a_kind_that_nobody_registered_is_named(tmp_path):
    paths = RunPaths(tmp_path).task("a")
    for path in (paths.task, paths.metrics):
        write_json(path, {"schema_version": 1, "kind": "tarin"})
    for read in (read_task, read_record):
        with pytest.raises(UserError, match="Unknown kind 'tarin'") as caught:
            read(paths)
        assert "train" in str(caught.value)
    assert "Unknown kind" in str(why_not_done(paths, "a", "0"))
