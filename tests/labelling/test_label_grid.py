"""The grid that labels: its plan, a whole run, what it refuses, and the dataset it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mo_hpc import collect
from mo_hpc.core.config import compose, dataset_config
from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, UserError, run_command
from mo_hpc.core.files import read_json, read_lines
from mo_hpc.core.labelling import LabelRecord, frames_file
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import read_error, read_record
from mo_hpc.core.schema import RunConfig, validated
from mo_hpc.data import __main__ as data
from mo_hpc.data.index import check_and_index
from mo_hpc.plan.planner import Plan, make_plan
from mo_hpc.status import main as status


def plan(cache: Path, *words: str) -> Plan:
    document, explicit = compose(["grid=label_mo420", f"cache_root={cache}", *words])
    return make_plan(validated(RunConfig, document, where="test"), explicit)


def n_structures(planned: Plan) -> list[int]:
    return [task.spec.n_structures for task in planned.tasks]


def records_of(run: RunPaths) -> list[LabelRecord]:
    return [read_record(task) for task in run.task_folders()]


@pytest.mark.usefixtures("without_children")
def test_the_design_without_the_elements_that_the_potential_lacks(tmp_path):
    # Two hosts: pure, 7 single dopants, 28 pairs on 3 shells.
    sizes = n_structures(plan(tmp_path))
    assert sum(sizes) == 2 * (1 + 7 + 28 * 3)
    assert set(sizes) == {8}


@pytest.mark.usefixtures("without_children")
def test_all_420_with_a_calculator_of_the_users(tmp_path):
    words = ("label.dopants=null", "calculator.factory=theirs:make", "label.structures_per_task=1")
    planned = plan(tmp_path, *words)
    assert n_structures(planned) == [1] * 420
    names = [task.spec.axes["structure"] for task in planned.tasks]
    assert names[0] == "bcc_Mo"
    assert len({task.spec.id for task in planned.tasks}) == len(set(names)) == 420


@pytest.mark.usefixtures("without_children")
def test_what_changes_labels_changes_identities_and_nothing_else(small_design, tmp_path):
    small = ("label.design=small", "label.dopants=[Ta]")
    plain = plan(tmp_path, *small)
    for same in (
        ("resources.memory_gb=9", "resources.cpus_per_task=2"),
        ("calculator.factory=mo_hpc.data.eam:EamCalculator",),
    ):
        assert plan(tmp_path, *small, *same).run_digest == plain.run_digest
    for other in (
        "label.relaxation.fmax_ev_per_ang=0.5",
        "calculator.name=mine",
        "calculator.factory=theirs:make",
    ):
        changed = plan(tmp_path, *small, other)
        assert changed.tasks[0].spec.digest != plain.tasks[0].spec.digest
    single = [
        plan(tmp_path, *small, "label.relaxation.optimizer=none", *more).run_digest
        for more in ((), ("label.relaxation.fmax_ev_per_ang=0.5",))
    ]
    assert single[0] == single[1]


ERRORS = {
    ("label.dopants=null",): ("no parameters for Nb", "label.dopants=[Ta]"),
    ("label.dopants=[W]",): ("Unknown label.dopants 'W'", "Nb, Ta"),
    ("label.design=null",): ("No design was named", "mo420"),
    ("label.design=smal",): ("Unknown design 'smal'", "small"),
    ("calculator.factory=ase",): ("'calculator.factory' has the value 'ase'",),
    ("calculator.factory=a:b", "calculator.model=c"): ("either factory or model",),
    ('calculator.name=""',): ("calculator.name",),
    ('calculator.name="two\nlines"',): ("calculator.name",),
    ("calculator.model=nowhere.model",): ("nowhere.model does not exist",),
    ("resources.tasks_per_node=2",): ("one process", "label.structures_per_task"),
    ("axes.seed=[1,2]",): ("has no axes", "label.dopants"),
    ("train.max_epochs=3",): ("'train.max_epochs' changes nothing",),
    ("foundation=mace_mp_0_small",): ("No stage of this grid takes a foundation",),
}


@pytest.mark.parametrize("words", ERRORS, ids=" ".join)
@pytest.mark.usefixtures("without_children")
def test_what_cannot_be_done_is_refused_while_planning(small_design, tmp_path, words):
    given = {word.partition("=")[0] for word in words}
    base = [f"label.{key}" for key in ("design=small", "dopants=[Ta]")]
    kept = [word for word in base if word.partition("=")[0] not in given]
    with pytest.raises(UserError) as caught:
        plan(tmp_path, *kept, *words)
    message = " ".join(str(caught.value).split())
    for part in ERRORS[words]:
        assert part in message


def test_settings_of_labelling_change_nothing_where_nothing_is_labelled(cache_root):
    for word in ("label.design=mo420", "calculator.name=mine"):
        document, explicit = compose(["grid=nightly", f"cache_root={cache_root}", word])
        with pytest.raises(UserError, match="changes nothing"):
            make_plan(validated(RunConfig, document, where="test"), explicit)


def test_a_run_is_labelled_collected_and_gathered_into_a_dataset(label, tmp_path, capsys):
    code, run = label()
    assert code == EXIT_DONE
    records = records_of(run)
    names = [structure.structure_id for record in records for structure in record.structures]
    assert names == ["bcc_Mo", "bcc_Ta", "bcc_Ta-Ta_1nn", "fcc_Mo", "fcc_Ta", "fcc_Ta-Ta_1nn"]
    assert all(structure.converged for record in records for structure in record.structures)
    assert {record.labels for record in records} == {"EAM Zhou 2004 (synthetic)"}
    assert len(read_lines(run.task_folders()[0].progress)) == 3
    assert run_command(status, [f"run={run.folder}"]) == EXIT_DONE
    capsys.readouterr()

    assert run_command(collect.main, [f"run={run.folder}"]) == EXIT_DONE
    assert "Labelled structures" in capsys.readouterr().out
    table = (run.tables / "labelled.csv").read_text().splitlines()
    assert [line.split(",")[2:6] for line in table[1:]] == [
        [host, str(n), "1", "1"] for host in ("bcc", "fcc") for n in (0, 1, 2)
    ]

    words = [f"run={run.folder}", f"data_root={tmp_path / 'data'}"]
    assert run_command(data.main, ["gather", "small_eam", *words]) == EXIT_DONE
    report, index = check_and_index(
        dataset_config("small_eam"), tmp_path / "data", tmp_path / "cache"
    )
    assert report.count("error") == 0
    frames = sum(structure.n_frames for record in records for structure in record.structures)
    assert report.n_usable == frames
    assert {frame.group for frame in index.frames} == set(names)
    assert sum(bool(frame.tags["is_final"]) for frame in index.frames) == len(names)
    # Again, it knows its own file; one that was changed is left alone.
    assert run_command(data.main, ["gather", "small_eam", *words]) == EXIT_DONE
    path = tmp_path / "data" / "small" / "small_eam.xyz"
    path.write_text(path.read_text() + "\n")
    assert run_command(data.main, ["gather", "small_eam", *words]) == 2
    assert "has not written" in capsys.readouterr().err


def gathered(run: RunPaths, tmp_path: Path, *words: str) -> int:
    roots = [f"run={run.folder}", f"data_root={tmp_path / 'data'}"]
    return run_command(data.main, ["gather", *words, *roots])


@pytest.mark.usefixtures("without_children")
def test_what_is_missing_or_not_relaxed_is_named_before_it_is_left_out(label, tmp_path, capsys):
    _, run = label("label.relaxation.max_steps=1", "label.structures_per_task=1")
    assert gathered(run, tmp_path, "small_eam") == EXIT_INCOMPLETE
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert "bcc_Ta: not converged after 1 steps" in text
    assert "bcc_Mo:" not in text
    gone = next(task for task in run.task_folders() if "fcc_Mo" in task.folder.name)
    frames_file(gone, "fcc_Mo").unlink()
    assert gathered(run, tmp_path, "small_eam", "--partial") == EXIT_DONE
    text = capsys.readouterr().out
    assert "its file of fcc_Mo is missing" in text
    origin = read_json(tmp_path / "data" / "small" / "small_eam.xyz.origin.json")
    assert origin["n_structures"] == 3
    assert len(origin["left_out"]) == 3


@pytest.mark.usefixtures("without_children")
def test_a_dataset_with_other_labels_or_a_changed_file_is_not_written(label, tmp_path, capsys):
    _, run = label()
    assert gathered(run, tmp_path, "small_steps") == 2
    assert "those of the run are 'EAM Zhou 2004 (synthetic)'" in " ".join(
        capsys.readouterr().err.split()
    )
    (first, _) = run.task_folders()
    path = frames_file(first, "bcc_Ta")
    path.write_text(path.read_text().replace("0.0", "0.1", 1))
    assert gathered(run, tmp_path, "small_eam") == 2
    assert "not the file that the task's record was made from" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("without_children")
def test_a_factory_of_the_users_labels_and_names_its_labels(label, own_module, tmp_path):
    words = (f"calculator.factory={own_module}:slow", "calculator.kwargs={seconds: 0.0}")
    code, run = label(*words, "label.dopants=[Ta]")
    assert code == EXIT_DONE
    assert {record.labels for record in records_of(run)} == {"slow (seconds=0.0)"}
    assert gathered(run, tmp_path, "small_slow") == EXIT_DONE


FACTORIES = {
    "nowhere:make": "The module 'nowhere' cannot be imported: ModuleNotFoundError",
    "own_potentials:fast": "nothing to call by the name 'fast'",
    "own_potentials:constant": "nothing to call by the name 'constant'",
    "own_potentials:no_calculator": "made a dict, which is no ASE calculator",
    "own_potentials:slow": "made no calculator: TypeError",
    "own_potentials:broken": "made no calculator: ValueError: no bread here",
}


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.usefixtures("without_children")
def test_a_factory_that_fails_is_one_message_in_the_record(label, own_module, factory):
    code, run = label(
        f"calculator.factory={factory}",
        "calculator.kwargs={text: bread}" if "no_calc" not in factory else "calculator.kwargs={}",
        "label.structures_per_task=9",
    )
    assert code == EXIT_INCOMPLETE
    (task,) = run.task_folders()
    error = read_error(task)
    assert error.failure_class == "bad_input"
    assert FACTORIES[factory] in error.message
