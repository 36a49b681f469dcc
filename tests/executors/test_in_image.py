"""Tasks in the site's image, with a stand-in for Apptainer; the real one is slower."""

import json
import os
import shlex
import subprocess
import sys

import pytest
import yaml
from faults import Victim
from runs import manifest_of

from mo_hpc import collect, enter, launch, retry
from mo_hpc.container import entering
from mo_hpc.core.config import compose
from mo_hpc.core.errors import UserError, run_command
from mo_hpc.core.files import read_json, read_lines, sha256_file, write_json
from mo_hpc.core.record import read_record
from mo_hpc.core.schema import RunConfig, validated
from mo_hpc.executors.in_image import enter_with_tasks, launch_container, run_container
from mo_hpc.executors.slurm.executor import SlurmExecutor


def config_of(*words):
    document, _ = compose(["grid=demo", *words])
    return validated(RunConfig, document, where="")


@pytest.fixture
def entered(monkeypatch):
    """Notes what would have replaced this process."""
    commands = []

    class Replaced(Exception):
        pass

    def replace(_, command):
        commands.append(command)
        raise Replaced

    monkeypatch.setattr(entering.os, "execvp", replace)
    return commands, Replaced


# -- who goes inside -------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_launch_goes_inside_where_tasks_are_its_own_processes(
    entered, stand_in_runtime, tmp_path, monkeypatch, executor
):
    commands, replaced = entered
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MO_HPC_CACHE", str(tmp_path / "cache"))
    words = ["grid=demo", f"executor={executor}", *stand_in_runtime.words()]
    with pytest.raises(replaced):
        launch.main(words)
    assert commands[0][-len(words) - 2 :] == ["-m", "mo_hpc.launch", *words]
    assert (tmp_path / "runs").is_dir()


@pytest.mark.parametrize(
    "words",
    [
        "grid=demo foundation=FILE",
        "grid=demo new_elements.foundation=FILE",
        "grid=label_mo420 calculator.model=FILE",
        "grid=checks axes.potential=[eam,FILE]",
        "grid=checks grid.stages.check.foundation=FILE",
        "grid=checks grid.stages.check.axes.potential=[FILE]",
    ],
)
def test_a_launch_inside_sees_the_models_that_it_is_given(
    entered, stand_in_runtime, tmp_path, words
):
    commands, replaced = entered
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "kept.model").write_text("weights")
    link = tmp_path / "a.model"
    link.symlink_to(folder / "kept.model")
    given = words.replace("FILE", str(link)).split()
    cache = f"cache_root={tmp_path / 'cache'}"
    config = config_of(*given, "executor=local", cache, *stand_in_runtime.words())
    with pytest.raises(replaced):
        enter_with_tasks(launch_container(config), config, "mo_hpc.launch", ())
    bound = commands[0][2].split()
    assert str(folder / "kept.model") in bound


def test_a_launch_of_arrays_stays_outside(entered, stand_in_runtime):
    commands, _ = entered
    config = config_of("executor=slurm", *stand_in_runtime.words())
    enter_with_tasks(launch_container(config), config, "mo_hpc.launch", ())
    assert not commands


def test_ranks_must_be_started_inside(stand_in_runtime):
    config = config_of("executor=mpi", *stand_in_runtime.words())
    words = ["grid=demo", "axes.element=[W]", "train.max_epochs=1"]
    with pytest.raises(UserError, match="not in the image") as caught:
        enter_with_tasks(launch_container(config), config, "mo_hpc.launch", words)
    _, _, command = caught.value.remedy.partition("\n")
    image = f"site.container={stand_in_runtime.image}"
    assert shlex.split(command.replace("\\\n", " ")) == [
        *["mpiexec", "-n", "5", "python", "-m", "mo_hpc.enter"],
        *(image, "--", "-m", "mpi4py.futures", "-m", "mo_hpc.launch"),
        *words,
    ]


def test_retrying_goes_inside_as_the_launch_did(
    entered, run, make_task, stand_in_runtime, tmp_path, monkeypatch
):
    commands, replaced = entered
    write_json(run.manifest, manifest_of([make_task("a")]).model_dump(mode="json"))
    config = config_of("executor=local", *stand_in_runtime.words())
    run.config.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(replaced):
        retry.main([f"run={run.folder.name}", "a"])
    assert commands[0][-4:] == ["-m", "mo_hpc.retry", "a", f"run={run.folder}"]
    assert f"bind {run.folder}\n" in commands[0][2]
    assert not (tmp_path / "runs").exists()


def test_tables_are_made_inside_where_the_host_lacks_libraries(
    entered, run, make_task, stand_in_runtime, monkeypatch
):
    commands, replaced = entered
    write_json(run.manifest, manifest_of([make_task("a")]).model_dump(mode="json"))
    config = config_of("executor=slurm", *stand_in_runtime.words())
    run.config.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    monkeypatch.chdir(run.folder.parent)
    monkeypatch.setattr("mo_hpc.collect.missing_libraries", lambda _: ["pandas"])
    with pytest.raises(replaced):
        collect.main([f"run={run.folder.name}", "--partial", "--json"])
    words = [f"run={run.folder}", "--partial", "--json"]
    assert commands[0][-5:] == ["-m", "mo_hpc.collect", *words]
    monkeypatch.setattr("mo_hpc.collect.missing_libraries", lambda _: [])
    assert run_command(collect.main, [f"run={run.folder}", "--partial"]) == 1


def test_the_image_is_kept_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, _, text = launch._configuration(["grid=demo", "site.container=mo.sif"])
    assert config.site.container == str(tmp_path / "mo.sif")
    assert yaml.safe_load(text)["site"]["container"] == config.site.container


# -- by hand ---------------------------------------------------------------------------


def test_python_is_started_inside_by_hand(stand_in_runtime, tmp_path):
    code = "import os; print(os.environ['MO_HPC_IMAGE_SHA256'], 'SECRET' in os.environ)"
    python = f"site.python={sys.executable}"
    arguments = [f"site.container={stand_in_runtime.image}", f"cache_root={tmp_path}", python]
    done = subprocess.run(
        [sys.executable, "-m", "mo_hpc.enter", *arguments, "--", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"SECRET": "1"},
    )
    assert done.stdout.split() == [sha256_file(stand_in_runtime.image), "False"], done.stderr


def test_entering_without_an_image_is_refused(capsys):
    assert run_command(enter.main, ["site=default", "--", "-c", "1"]) == 2
    assert "site.container=IMAGE.sif" in capsys.readouterr().err


# -- tasks -----------------------------------------------------------------------------


def test_records_of_a_local_run_name_the_image(stand_in_runtime, cache_root, tmp_path):
    words = ["grid=demo", "axes.protocol=[iid]", "axes.paradigm=[zero_shot]", "executor=local"]
    command = [sys.executable, "-m", "mo_hpc.launch", *words, *stand_in_runtime.words()]
    options = ["train.max_epochs=1", "executor.collect=false", "--json"]
    done = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"MO_HPC_CACHE": str(cache_root)},
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["submitted"]
    records = [
        read_json(tmp_path / document["run_dir"] / "tasks" / name / "metrics.json")
        for name in document["submitted"]
    ]
    digests = {record["provenance"]["image_sha256"] for record in records}
    assert digests == {sha256_file(stand_in_runtime.image)}


@pytest.fixture
def victim(slurm, run, stand_in_runtime):
    victim = Victim(run)
    image = {"container": str(stand_in_runtime.image), "python": sys.executable}
    victim.site = image
    victim.config = victim.config.model_copy(
        update={"site": victim.config.site.model_copy(update=image)}
    )
    yield victim
    victim.clean_up()


@pytest.mark.slurm
def test_records_of_an_array_name_the_image(victim, run, stand_in_runtime):
    victim.submit(victim.task("a", "ok"), site=victim.site)
    victim.wait_done("a")
    record = read_record(run.task("a"))
    assert record.provenance["image_sha256"] == sha256_file(stand_in_runtime.image)
    (submission,) = victim.submissions()
    script = run.enter_image(submission.name).read_text()
    assert f"bind {run.folder}" in script
    tried = subprocess.run(
        ["bash", run.enter_image(submission.name), "-c", "print('inside')"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.stdout == "inside\n"


@pytest.mark.slurm
def test_a_signal_reaches_a_task_inside_and_it_comes_back(victim, run):
    victim.submit(victim.task("a", "with_children"), site=victim.site)
    victim.harm({"a": lambda name: victim.signal(name, "USR2")})
    victim.restart_now("a")
    victim.wait_done("a")
    assert len(read_lines(run.task("a").folder / "saves")) == 1
    assert [victim.account("a", n)["exit_code"] for n in (1, 2)] == [85, 0]


@pytest.mark.slurm
def test_an_image_that_changed_in_the_queue_is_said_and_the_next_launch_takes_it(
    victim, run, stand_in_runtime
):
    victim.submit(victim.task("a", "ok"), site=victim.site | {"sbatch": {"hold": True}})
    stand_in_runtime.image.write_bytes(b"built again meanwhile")
    victim.release("a")
    victim.wait_out_of_queue("a")
    diagnosis = victim.states()["a"].diagnosis
    assert diagnosis.failure_class == "never_started"
    assert "is not the file it was at the launch" in diagnosis.reason
    outcome = victim.launch(by_hand=True)
    assert outcome.submitted == ["a"]
    victim.wait_done("a")
    digest = read_record(run.task("a")).provenance["image_sha256"]
    assert digest == sha256_file(stand_in_runtime.image)


@pytest.mark.slurm
def test_without_the_image_nothing_is_submitted(victim, run, stand_in_runtime):
    stand_in_runtime.image.unlink()
    with pytest.raises(UserError, match="There is no image"):
        SlurmExecutor(run, victim.config).require([victim.task("a", "ok")])
    assert not victim.submissions()


def test_the_tasks_own_places_are_seen_inside(run, make_task, stand_in_runtime, tmp_path):
    config = config_of(*stand_in_runtime.words(), f"cache_root={tmp_path / 'cache'}")
    task = make_task("a")
    models = {"foundation_path": "/m.pt", "donor_path": "/donor.pt"}
    places = {"data_root": "/far/data", "cache_root": "/far/cache", **models}
    task = task.model_copy(update={"runtime": task.runtime.model_copy(update=places)})
    found = {str(each.path): each.writable for each in run_container(run, config, [task]).binds}
    expected = {"/far/data": False, "/far/cache": True, "/m.pt": False, str(run.folder): True}
    expected |= {"/donor.pt": False}
    assert expected.items() <= found.items()


def test_data_are_seen_inside_where_links_lead(stand_in_runtime, tmp_path, monkeypatch):
    """The usual layout: a small data folder whose entries link to a large file system."""
    far, data = tmp_path / "far", tmp_path / "data"
    config = config_of(*stand_in_runtime.words(), "dataset=mo420_replica", f"data_root={data}")
    for pattern in config.dataset.files:
        place = far / pattern
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    data.mkdir()
    for entry in far.iterdir():
        (data / entry.name).symlink_to(entry)
    seen = {each.path for each in launch_container(config).binds}
    assert {far / pattern for pattern in config.dataset.files} <= seen
