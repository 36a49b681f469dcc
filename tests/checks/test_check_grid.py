"""The grid of checks: its plan, what it refuses, a whole run, and the models it opens."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from ase.build import bulk
from mace.calculators import MACECalculator

from mo_hpc import collect, launch
from mo_hpc.checks.lattice import lattice_constant
from mo_hpc.checks.opening import opened
from mo_hpc.checks.stability import stability
from mo_hpc.core.checks import ACTING, CheckConfig
from mo_hpc.core.config import compose, model_config
from mo_hpc.core.errors import EXIT_DONE, StopRequested, UserError, run_command
from mo_hpc.core.files import sha256_file
from mo_hpc.core.paths import RunPaths, TaskPaths
from mo_hpc.core.record import read_record
from mo_hpc.core.schema import RunConfig, validated
from mo_hpc.data.acceptance import trust
from mo_hpc.plan.planner import make_plan
from mo_hpc.training.checkpoint import save_model
from mo_hpc.training.model import Scaling, scratch_model
from mo_hpc.training.reproducible import reproducible

CHEAP = "axes.check=[lattice_constant,elastic_constants]"


def plan(tmp_path, *words):
    document, explicit = compose(["grid=checks", f"cache_root={tmp_path}", *words])
    return make_plan(validated(RunConfig, document, where="test"), explicit)


def specs(tmp_path, *words):
    return {task.spec.check: task.spec for task in plan(tmp_path, *words).tasks}


def test_every_check_is_a_task_of_its_own(tmp_path):
    planned = specs(tmp_path)
    assert set(planned) == set(ACTING)
    assert {spec.potential for spec in planned.values()} == {"EAM Zhou 2004 (synthetic)"}
    assert len({spec.digest for spec in planned.values()}) == len(ACTING)


def test_several_models_make_each_check_for_each(tmp_path):
    tasks = plan(tmp_path, "axes.potential=[eam,theirs:make]", CHEAP).tasks
    assert [(task.spec.check, task.spec.potential) for task in tasks] == [
        ("lattice_constant", "EAM Zhou 2004 (synthetic)"),
        ("lattice_constant", "make"),
        ("elastic_constants", "EAM Zhou 2004 (synthetic)"),
        ("elastic_constants", "make"),
    ]
    assert tasks[1].spec.calculator.factory == "theirs:make"


@pytest.mark.parametrize(
    ("word", "changed"),
    [
        ("checks.max_strain=0.001 checks.pair_shells=[1]", {"elastic_constants", "binding"}),
        ("checks.repeat=3", {"binding", "substitution", "vacancy", "stability"}),
        ("foundation=theirs:make", set(ACTING)),
        ("resources.memory_gb=9", set()),
    ],
)
def test_a_setting_changes_the_checks_it_acts_in_and_no_other(tmp_path, word, changed):
    plain, other = specs(tmp_path), specs(tmp_path, *word.split())
    assert {check for check in ACTING if plain[check].digest != other[check].digest} == changed


def test_files_of_one_name_are_models_of_their_own(tmp_path):
    files = [tmp_path / folder / "mace.model" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text(file.parent.name)
    words = ",".join(["mace_mp_0_small", *map(str, files)])
    tasks = plan(tmp_path, f"axes.potential=[{words}]", "axes.check=[vacancy]").tasks
    shown = [f"mace {sha256_file(file)[:8]}" for file in files]
    assert [task.spec.potential for task in tasks] == ["mace_mp_0_small", *shown]


def test_the_host_may_be_a_dopant_of_checks_that_have_none(tmp_path):
    planned = specs(tmp_path, "checks.host=W", CHEAP)
    assert {spec.settings.host for spec in planned.values()} == {"W"}
    with pytest.raises(UserError, match="W is host and dopant") as refused:
        plan(tmp_path, "checks.host=W", "axes.check=[lattice_constant,binding]")
    assert "checks.dopants=[Cr,Fe,Mn,Nb,Re,Ta,Ti,V,Y,Zr,Ag" in "".join(str(refused.value).split())


def test_arguments_of_a_factory_are_part_of_it(tmp_path):
    words = ("foundation=theirs:make", CHEAP)
    plain = specs(tmp_path, *words)["lattice_constant"]
    given = specs(tmp_path, *words, "calculator.kwargs={size: 3}")["lattice_constant"]
    assert given.calculator.kwargs == {"size": 3}
    assert plain.digest != given.digest


def test_a_model_that_an_earlier_stage_trains_is_checked_after_it(cache_root):
    document, explicit = compose(["grid=nightly", f"cache_root={cache_root}"])
    document["grid"]["stages"]["check"] = {
        "kind": "check",
        "foundation": "stage:pretrain",
        "axes": {"check": ["vacancy"]},
    }
    tasks = make_plan(validated(RunConfig, document, where="test"), explicit).tasks
    maker = next(task.spec for task in tasks if task.spec.stage == "pretrain")
    check = next(task.spec for task in tasks if task.spec.stage == "check")
    assert check.needs == (maker.id,)
    assert check.potential == f"{maker.id} (stand-in)"
    assert check.foundation.task_id == maker.id
    assert check.synthetic
    assert check.labels == maker.dataset.config.labels


ERRORS = {
    ("checks.md_steps=50", "axes.check=[vacancy]"): ("belongs to stability", "axes.check"),
    ("checks.dopants=[Mo]",): ("Mo is host and dopant",),
    ("foundation=nowhere.model",): ("nowhere.model does not exist",),
    ("foundation=stage:pretrain",): ("pretrain",),
    ("axes.check=[vacancies]",): ("vacancy",),
    ("calculator.kwargs={size: 3}",): ("no model of this plan is a factory",),
    ("resources.tasks_per_node=2",): ("one process",),
    ("axes.potential=[ours:make,theirs:make]",): ("both called make", "axes.potential"),
    ("foundation=theirs:make", "axes.potential=[eam]"): ("axes.potential=[eam,theirs:make]",),
    ("new_elements.weights=slice",): ("'new_elements.weights' changes nothing",),
}


@pytest.mark.parametrize("words", ERRORS, ids=" ".join)
def test_what_cannot_be_or_has_no_effect_is_refused(tmp_path, words):
    with pytest.raises(UserError) as refused:
        plan(tmp_path, *words)
    shown = str(refused.value)
    for expected in ERRORS[words]:
        assert expected in shown


@pytest.fixture
def launched(tmp_path, capfd):
    """Launches the grid in this process and returns the run and its records by check."""

    def run(*words):
        fixed = ("grid=checks", "executor=inline", f"cache_root={tmp_path / 'cache'}", "--json")
        capfd.readouterr()
        code = run_command(launch.main, [*fixed, f"runs_root={tmp_path / 'runs'}", *words])
        document, _ = json.JSONDecoder().raw_decode(capfd.readouterr().out)
        assert code == EXIT_DONE, document
        found = RunPaths(Path(document["run_dir"]))
        records = [read_record(task) for task in found.task_folders()]
        return found, {record.check: record for record in records}

    return run


def test_a_run_leaves_values_with_references_and_tables_and_figures(launched, capfd):
    run, records = launched(
        "axes.check=[lattice_constant,equation_of_state,substitution,binding]",
        "checks.dopants=[Ta,Y]",
        "checks.repeat=2",
        "checks.pair_shells=[1]",
    )
    bcc = next(value for value in records["lattice_constant"].values if value.subject == "bcc")
    assert bcc.value == pytest.approx(3.150, abs=1e-3)
    assert {each.labels for each in bcc.references} == {
        "PBE, all electrons",
        "PBE (VASP)",
        "experiment",
    }
    assert run_command(collect.main, [f"run={run.folder}"]) == EXIT_DONE
    shown = capfd.readouterr().out
    assert "lattice constant" in shown
    assert "teacher" in shown
    with (run.tables / "checks_dopants.csv").open() as handle:
        rows = {(row["name"], row["subject"]): row for row in csv.DictReader(handle)}
    with (run.tables / "checks_dopants_summary.csv").open() as handle:
        substitution = next(csv.DictReader(handle))
    assert float(substitution["mean_absolute_reference"]) == pytest.approx(0.456)
    assert (substitution["n_values"], substitution["n_missing"]) == ("1", "1")
    tantalum = rows["substitution_energy_ev", "Ta"]
    assert float(tantalum["difference"]) == pytest.approx(float(tantalum["value"]) + 0.456)
    assert tantalum["labels"] == "teacher nequix-oam-1, not DFT"
    yttrium = rows["binding_energy_ev", "Y-Y 1nn"]
    assert (yttrium["value"], yttrium["problem"]) == ("", "The model does not know Y.")
    notes = (run.tables / "checks_crystal.md").read_text()
    assert "Lejaeghere" in notes
    names = {path.name for path in run.figures.glob("*.png")}
    assert names == {
        "equation_of_state.png",
        "substitution_energies.png",
        "binding_energies.png",
    }


@pytest.fixture
def model_file(tmp_path):
    """A small MACE that was never trained, of Mo and W, with energies of free atoms."""
    with reproducible(seed=3, dtype="float64", n_threads=1, device=torch.device("cpu")):
        model = scratch_model(
            model_config("tiny"), [42, 74], {"Mo": -8.0, "W": -9.0}, Scaling(14.0, 1.0)
        )
        save_model(tmp_path / "fresh.model", model)
    return tmp_path / "fresh.model"


@pytest.mark.slow
def test_a_model_file_is_opened_by_its_accepted_hash_alone(launched, model_file, tmp_path):
    words = (f"foundation={model_file}", "axes.check=[substitution]")
    small = ("checks.dopants=[W,Y]", "checks.repeat=2", "checks.max_steps=3")
    cache = tmp_path / "cache"
    planned = plan(cache, *words, *small)
    assert "data trust" in planned.to_stage[str(model_file)]
    trust(model_file, cache, confirm=lambda _: True)
    _, records = launched(*words, *small)
    record = records["substitution"]
    assert record.foundation.sha256 == sha256_file(model_file)
    assert record.potential == f"fresh {sha256_file(model_file)[:8]}"
    problems = {value.subject: value.problem for value in record.values if value.value is None}
    assert problems["Y"] == "The model does not know Y."
    with pytest.raises(UserError, match="does not exist"):
        plan(cache, "foundation=gone.model")


@pytest.mark.slow
def test_the_model_of_a_file_computes_what_it_computes_elsewhere(model_file, tmp_path):
    cache = tmp_path / "cache"
    trust(model_file, cache, confirm=lambda _: True)
    (task,) = plan(
        cache, f"foundation={model_file}", "axes.check=[stability]", "checks.md_steps=10"
    ).tasks
    with reproducible(seed=0, dtype="float64", n_threads=1, device=torch.device("cpu")):
        model = opened(TaskPaths(tmp_path / "task"), task.spec, torch.device("cpu"))
        crystal = bulk("Mo", "bcc", a=3.16, cubic=True)
        crystal.symbols[1] = "W"
        crystal.calc = model.calculator
        energy, forces = crystal.get_potential_energy(), crystal.get_forces()
        crystal.calc = MACECalculator(str(model_file), device="cpu", default_dtype="float64")
        assert energy == pytest.approx(crystal.get_potential_energy(), abs=1e-10)
        assert forces == pytest.approx(crystal.get_forces(), abs=1e-10)
    assert model.elements == {"Mo", "W"}


def test_a_check_that_is_asked_to_stop_leaves_at_once(eam):
    stopped = dataclasses.replace(eam, is_to_stop=lambda: True)
    for check in (lattice_constant, stability):
        with pytest.raises(StopRequested):
            check(stopped, CheckConfig(repeat=2))
