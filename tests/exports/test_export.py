"""What an export holds, that it computes what was trained, and what is refused."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mace.calculators import MACECalculator

from mo_hpc import export
from mo_hpc.container.entering import Container
from mo_hpc.container.image import Image
from mo_hpc.container.script import Bind
from mo_hpc.core.errors import WorkIncomplete
from mo_hpc.core.files import read_json, sha256_file, write_json
from mo_hpc.core.paths import TaskPaths
from mo_hpc.exports.parity import Recorded, ase_parity, recorded_predictions
from mo_hpc.metrics.predictions import Predictions

STRICT, RELAXED = "lodo_strict-W-fine_tune", "lodo_relaxed-W-fine_tune"


@pytest.fixture(scope="session")
def structure(models):
    """A test frame with its recorded prediction."""
    recorded = recorded_predictions(models[0])
    return recorded.frames[0], recorded.values[0]


def test_files_are_all_there_and_have_the_hashes_that_the_card_says(exported, finished_run, models):
    folder, card = exported
    names = {path.name for path in folder.iterdir()}
    assert names == {*card["files_sha256"], "MODEL_CARD.md", "model_card.json"}
    for name, sha256 in card["files_sha256"].items():
        assert sha256_file(folder / name) == sha256
    assert card["files_sha256"]["model.model"] == models[0].record.model_sha256
    assert oct(folder.stat().st_mode & 0o777) == oct(0o755)
    assert {"mliap", "mace", "ase"} == {each["form"] for each in card["parity"]}


def test_two_lines_make_a_calculator_with_the_recorded_results(exported, structure):
    (folder, _), (frame, (energy_ev, forces)) = exported, structure
    atoms = frame.copy()
    atoms.calc = MACECalculator(str(folder / "model.model"), default_dtype="float32")
    assert atoms.get_potential_energy() == pytest.approx(energy_ev, abs=1e-4)
    assert np.allclose(atoms.get_forces(), forces, atol=1e-4)


def test_the_calculator_needs_no_mo_hpc(exported, structure, monkeypatch):
    (folder, _), (frame, (energy_ev, _)) = exported, structure
    for name in [name for name in sys.modules if name.split(".")[0] == "mo_hpc"]:
        monkeypatch.setitem(sys.modules, name, None)  # importing it is an error now
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(folder.parent)
    module = importlib.import_module("mo_w.calculator")
    atoms = frame.copy()
    atoms.calc = module.calculator()
    assert atoms.get_potential_energy() == pytest.approx(energy_ev, abs=1e-4)
    assert module.ELEMENTS == ["V", "Zr", "Mo", "Ta", "W"]
    with pytest.raises(ValueError, match="no spread"):
        module.spread(atoms)


def test_a_changed_model_file_is_not_opened(exported, tmp_path):
    folder, _ = exported
    for name in ("calculator.py", "model.model"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with (tmp_path / "model.model").open("ab") as handle:
        handle.write(b"more")
    with pytest.raises(ValueError, match="sha256"):
        runpy.run_path(str(tmp_path / "calculator.py"))["calculator"]()


def test_the_card_says_where_the_model_ends(exported, models):
    folder, card = exported
    (model,) = card["models"]
    record = models[0].record
    assert [text.split(":")[0] for text in card["warnings"]] == [
        "SYNTHETIC LABELS",
        "STAND-IN FOUNDATION",
        "AUDIT OF THE SPLIT",
    ]
    assert card["elements"] == {"known": ["V", "Zr", "Mo", "Ta", "W"], "not_in_training": ["W"]}
    assert model["held_out"] == "W"
    assert model["energy_references"] == record.energy_references.model_dump(mode="json")
    assert model["provenance"] == record.provenance
    tungsten = model["errors_by_element"]["W"]
    means = record.metrics["by_element"]["W"]
    assert tungsten["n_force_atoms"] == means["n_force_atoms"] > 0
    low, high = tungsten["intervals_95"]["force_mae_mev_per_ang_component"]
    assert low < means["force_mae_mev_per_ang_component"] < high
    text = (folder / "MODEL_CARD.md").read_text()
    for word in (*card["warnings"], "W (not in training)", record.model_sha256):
        assert word in text
    predictions = Predictions.load(models[0].paths.predictions)
    counts = {part: int((predictions.part == part).sum()) for part in ("train", "valid", "test")}
    assert min(counts.values()) > 0
    said = ", ".join(f"{count} {part}" for part, count in counts.items())
    assert "- Split: lodo_strict, W held out, whole trajectories on one side: " + said in text


def test_json_is_one_document(finished_run, exporting, tmp_path):
    code, out, _ = exporting(
        [f"run={finished_run.folder}", STRICT, "--to", str(tmp_path / "a-b"), "--json"]
    )
    document = json.loads(out)
    assert code == 0
    assert document["schema_version"] == 1
    assert document["card"] == read_json(tmp_path / "a-b" / "model_card.json")
    # The folder's name cannot be imported, so its module is.
    assert "\nfrom calculator import calculator\n" in document["usage"]


def test_a_committee_is_the_mean_and_says_how_far_it_is_spread(
    finished_run, exporting, models, structure
):
    code, out, _ = exporting([f"run={finished_run.folder}", RELAXED, STRICT])
    assert code == 0
    (folder,) = (p for p in finished_run.exports.iterdir() if p.name.startswith("committee_of_2_"))
    assert f"from {folder.name}.calculator import calculator" in out
    members = [sha256_file(folder / f"model_{number}.model") for number in (1, 2)]
    assert sorted(members) == sorted(each.record.model_sha256 for each in models)
    parity = read_json(folder / "model_card.json")["parity"]
    assert [(each["form"], each["task_id"], each["against"]) for each in parity] == [
        ("model", models[0].record.task_id, "recorded predictions"),
        ("model", models[1].record.task_id, "recorded predictions"),
        ("ase", "committee", "mean of the models"),
    ]

    module = runpy.run_path(str(folder / "calculator.py"))
    atoms = structure[0].copy()
    atoms.calc = module["calculator"](dtype="float64")
    energies, forces = [], []
    for number in (1, 2):
        alone = structure[0].copy()
        path = str(folder / f"model_{number}.model")
        alone.calc = MACECalculator(path, default_dtype="float64")
        energies.append(alone.get_potential_energy())
        forces.append(alone.get_forces())
    assert atoms.get_potential_energy() == pytest.approx(np.mean(energies), abs=1e-9)
    energy_spread, force_spread = module["spread"](atoms)
    # The sample standard deviation of two numbers is their distance over the root of two.
    distance = abs(energies[0] - energies[1]) / len(atoms)
    assert energy_spread == pytest.approx(distance / np.sqrt(2), rel=1e-6)
    distances = np.linalg.norm(forces[0] - forces[1], axis=1)
    assert force_spread.max() > 0
    assert np.allclose(force_spread, distances / np.sqrt(2), atol=1e-9)


# -- refusals -------------------------------------------------------------------------


def refused(result: tuple[int, str, str], *said: str) -> None:
    code, _, error = result
    assert code == 2, error
    shown = " ".join(error.split())
    for text in said:
        assert text in shown, error


def test_tasks_that_cannot_be_exported(finished_run, exporting, task_id):
    run = f"run={finished_run.folder}"
    refused(exporting([run]), "Name the task", task_id("pretrain"))
    refused(exporting([run, "lodo_strict-V-fine_tune"]), "Unknown task", "Did you mean", STRICT)
    refused(exporting([run, "strict-W-zero"]), "made no model", "zero_shot", task_id("pretrain"))
    # Both are done; one was fitted with other reference energies.
    refused(exporting([run, "pretrain", RELAXED]), "no committee", "policy of reference energies")


def test_reference_energies_from_other_sources_make_no_committee(
    own_run, exporting, task_id, tmp_path
):
    """As a fit leaves them where one fold's training lacks the element: of one policy."""
    paths = own_run.task(task_id(STRICT))
    references = read_json(paths.metrics)["energy_references"]
    references["sources"]["W"] = "zero"
    forge(paths.metrics, energy_references=references)
    words = [f"run={own_run.folder}", STRICT, RELAXED, "--to", str(tmp_path / "out")]
    said = (
        f"source of the E0 of W of {task_id(RELAXED)} is foundation, and of {task_id(STRICT)} zero"
    )
    refused(exporting(words), "no committee", said)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_left_alone(finished_run, exporting, tmp_path):
    (tmp_path / "mine").write_text("mine")
    words = [f"run={finished_run.folder}", STRICT, "--to"]
    refused(exporting([*words, str(tmp_path)]), "exists", "--to DIR")
    refused(exporting([*words, str(tmp_path / "mine")]), "exists")
    assert (tmp_path / "mine").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def test_only_the_recorded_model_is_opened(own_run, exporting, task_id, tmp_path):
    paths = own_run.task(task_id(STRICT))
    # What a pickle would run if it were opened.
    paths.model.write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "opened") + b"'\ntR.")
    found = hashlib.sha256(paths.model.read_bytes()).hexdigest()
    words = [f"run={own_run.folder}", STRICT, "--to", str(tmp_path / "out")]
    refused(exporting(words), "was not opened", found)
    paths.model.unlink()
    refused(exporting(words), "is not done", "model is missing")
    paths.metrics.unlink()
    refused(exporting(words), "is not done", "is missing", "mo_hpc.status")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "opened").exists()


def test_a_model_that_does_not_give_its_recorded_results_is_not_exported(
    own_run, exporting, task_id, tmp_path
):
    """The relaxed fold's model under the strict fold's record, hash and all."""
    strict, relaxed = (own_run.task(task_id(name)) for name in (STRICT, RELAXED))
    strict.model.write_bytes(relaxed.model.read_bytes())
    forge(strict.metrics, model_sha256=sha256_file(relaxed.model))
    words = [f"run={own_run.folder}", STRICT, "--to", str(tmp_path / "out")]
    code, _, error = exporting(words)
    assert code == 1
    assert "Nothing was exported" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]

    forge(strict.metrics, predictions_sha256="0" * 64)
    refused(exporting(words), "predictions", "not the recorded ones")


@pytest.mark.parametrize(("forged", "other"), [(STRICT, RELAXED), (RELAXED, STRICT)])
def test_a_committee_with_a_forged_member_is_not_exported(
    own_run, exporting, task_id, tmp_path, forged, other
):
    """The same forgery, with either place in the committee."""
    paths = own_run.task(task_id(forged))
    paths.model.write_bytes(own_run.task(task_id(other)).model.read_bytes())
    forge(paths.metrics, model_sha256=sha256_file(paths.model))
    out = tmp_path / "out"
    code, _, error = exporting([f"run={own_run.folder}", STRICT, RELAXED, "--to", str(out)])
    assert code == 1
    assert f"the form 'model' of {task_id(forged)} differs from recorded" in " ".join(error.split())
    assert not out.exists()


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("quantity", ["energy", "forces"])
def test_a_nan_is_no_parity_wherever_it_stands(exported, models, place, quantity):
    recorded = recorded_predictions(models[0])
    calculator = exported[0] / "calculator.py"
    assert ase_parity(calculator, models[0], recorded).n_frames == len(recorded.frames) >= 4
    values = list(recorded.values)
    energy_ev, forces = values[place]
    assert forces is not None
    values[place] = (np.nan, forces) if quantity == "energy" else (energy_ev, forces * np.nan)
    with pytest.raises(WorkIncomplete, match=r"differs from recorded predictions by.* nan eV/"):
        ase_parity(calculator, models[0], Recorded(recorded.frames, values))


def test_without_forces_energies_are_compared_alone(own_run, exporting, task_id, tmp_path):
    paths = own_run.task(task_id(STRICT))
    none = {
        f"forces_{which}_ev_per_ang": np.empty((0, 3), dtype=np.float64)
        for which in ("ref", "pred")
    }
    predictions = Predictions.load(paths.predictions)
    predict_anew(paths, replace(predictions, has_forces=predictions.part == "none", **none))
    out = tmp_path / "out"
    code, shown, _ = exporting([f"run={own_run.folder}", STRICT, "--to", str(out)])
    assert code == 0
    assert "eV/atom  no forces  against recorded predictions" in shown
    (parity,) = read_json(out / "model_card.json")["parity"]
    assert parity["force_ev_per_ang"] is None
    assert parity["n_frames"] >= 4
    assert re.search(
        r"recorded predictions \| \d+ \| [\d.e+-]+ \| - \|", (out / "MODEL_CARD.md").read_text()
    )

    # The energies are still compared.
    moved = Predictions.load(paths.predictions)
    predict_anew(paths, replace(moved, energy_pred_ev=moved.energy_pred_ev + 1.0))
    code, _, error = exporting([f"run={own_run.folder}", STRICT, "--to", str(tmp_path / "moved")])
    assert code == 1
    assert "Nothing was exported" in error


def test_without_test_frames_there_is_nothing_to_compare(own_run, exporting, task_id, tmp_path):
    paths = own_run.task(task_id(STRICT))
    predictions = Predictions.load(paths.predictions)
    predict_anew(paths, predictions.select(predictions.part != "test"))
    words = [f"run={own_run.folder}", STRICT, "--to", str(tmp_path / "out")]
    refused(exporting(words), "no test frame", "nothing can be compared")
    assert not (tmp_path / "out").exists()


def predict_anew(paths: TaskPaths, predictions: Predictions) -> None:
    """Other predictions, and the record that goes with them."""
    predictions.save(paths.predictions)
    forge(paths.metrics, predictions_sha256=sha256_file(paths.predictions))


def forge(path: Path, **values: object) -> None:
    write_json(path, read_json(path) | values)


def test_without_torch_it_goes_on_in_the_image_of_the_run(
    finished_run, exporting, task_id, tmp_path, monkeypatch
):
    entered = []
    image = Container(Image(tmp_path / "image.sif", "0" * 64, 1, 0.0), (), (), "python")
    monkeypatch.setattr(export, "missing_libraries", lambda _: ["torch"])
    monkeypatch.setattr(export, "run_container", lambda *_: image)

    def enter(container, arguments):
        entered.append((container.binds, arguments))
        raise SystemExit(0)

    monkeypatch.setattr(Container, "enter", enter)
    out = tmp_path / "sub" / "mo_w"
    words = [f"run={finished_run.folder}", STRICT, "--lammps", "mace", "--json", "--to", str(out)]
    with pytest.raises(SystemExit):
        exporting(words)
    ((binds, (*module, run, task, to, form, as_json)),) = entered
    assert binds == (Bind(out.parent, writable=True),)
    assert (module, run) == (["-m", "mo_hpc.export"], f"run={finished_run.folder.absolute()}")
    assert (task, to, form, as_json) == (
        task_id(STRICT),
        f"--to={out}",
        "--lammps=mace",
        "--json",
    )
