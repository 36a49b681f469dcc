"""From files to an index and back to frames by id."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mo_hpc.core.config import dataset_config, names
from mo_hpc.core.errors import BadDataError, UserError
from mo_hpc.core.index import DatasetIndex, index_folder, read_index, write_index
from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.ensure import ensure_index
from mo_hpc.data.frames import load_frames
from mo_hpc.data.hints import data_command
from mo_hpc.data.index import FRAMES_FILE, build_index
from mo_hpc.data.location import dataset_files, dataset_hash, resolve_roots
from mo_hpc.data.store import FrameTable


@pytest.fixture
def sample(
    crystal: Callable[..., Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
    make_config: Callable[..., DatasetConfig],
) -> DatasetConfig:
    frames = [crystal(seed, rattle_ang=0.1) for seed in range(6)]
    for number, frame in enumerate(frames):
        frame.info |= {
            "structure_id": f"s{number // 2}",
            "host": "bcc",
            "is_final": number % 2 == 1,
            "shell": number,
        }
    del frames[4].info["REF_energy"]
    write_sample(frames)
    return make_config(
        group_key="structure_id", host_key="host", tag_keys=("is_final", "shell", "absent")
    )


def test_the_index_says_what_planning_needs(sample: DatasetConfig, tmp_path: Path) -> None:
    index = build_index(sample, tmp_path, tmp_path / "cache")
    assert [frame.id for frame in index.frames] == [f"sample.xyz#{n}" for n in (0, 1, 2, 3, 5)]
    assert [frame.group for frame in index.frames] == ["s0", "s0", "s1", "s1", "s2"]
    assert index.frames[1].composition == {"Mo": 15, "Ta": 1}
    assert index.frames[1].tags == {"is_final": True, "shell": 1}
    assert index.frames[1].host == "bcc"
    assert index.n_problems == 1
    folder = index_folder(tmp_path / "cache", index.dataset_hash)
    assert read_index(folder) == index


def test_frames_come_back_in_the_order_asked_for(sample: DatasetConfig, tmp_path: Path) -> None:
    ids = ["sample.xyz#5", "sample.xyz#0", "sample.xyz#3"]
    frames = load_frames(sample, tmp_path, tmp_path / "cache", ids)
    assert [frame.info["frame_id"] for frame in frames] == ids
    assert frames[0].info["tags"] == {"is_final": True, "shell": 5}
    assert frames[0].info["group"] == "s2"
    frames[0].arrays["REF_forces"][:] = 0
    (again,) = load_frames(sample, tmp_path, tmp_path / "cache", ids[:1])
    assert np.abs(again.arrays["REF_forces"]).max() > 0


def test_an_id_of_another_version_is_bad_data(sample: DatasetConfig, tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"sample\.xyz#4"):
        load_frames(sample, tmp_path, tmp_path / "cache", ["sample.xyz#4"])


def test_a_damaged_table_is_made_anew(sample: DatasetConfig, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    index = build_index(sample, tmp_path, cache)
    table = index_folder(cache, index.dataset_hash) / FRAMES_FILE
    whole = table.read_bytes()
    for damaged in (b"PK broken", b"", whole[: len(whole) // 2]):
        table.write_bytes(damaged)
        assert len(load_frames(sample, tmp_path, cache)) == 5


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("index.json", "[]"),
        ("index.json", "{"),
        ("index.json", "{}"),
        ("index.json", '{"schema_version": 1, "n_frames": 5}'),
        ("index.jsonl", None),
        ("index.jsonl", ""),
        ("index.jsonl", '{"id": "sample.xyz#0", "compo'),
        ("index.jsonl", "[1]\n" * 5),
        ("index.jsonl", '{"name": "sample.xyz#0"}\n' * 5),
        ("index.jsonl", "5\n" * 5),
    ],
)
def test_a_damaged_index_is_made_anew(
    sample: DatasetConfig, tmp_path: Path, name: str, content: str | None
) -> None:
    cache = tmp_path / "cache"
    index = build_index(sample, tmp_path, cache)
    path = index_folder(cache, index.dataset_hash) / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert read_index(path.parent) is None
    assert ensure_index(sample, tmp_path, cache) == index


def test_data_that_are_not_the_planned_ones_are_refused(
    sample: DatasetConfig, tmp_path: Path
) -> None:
    planned = dataset_hash(sample, dataset_files(sample, tmp_path, tmp_path))
    assert load_frames(sample, tmp_path, tmp_path / "cache", planned_hash=planned)
    with (tmp_path / "sample.xyz").open("a") as handle:
        handle.write("\n")
    with pytest.raises(BadDataError, match=f"planned with {planned[:12]}"):
        load_frames(sample, tmp_path, tmp_path / "cache", planned_hash=planned)


def test_the_table_keeps_frames_bit_for_bit(crystal: Callable[..., Atoms], tmp_path: Path) -> None:
    frames = [crystal(seed) for seed in range(2)]
    for number, frame in enumerate(frames):
        frame.info |= {"frame_id": str(number), "group": "g", "host": "-", "tags": {"a": 1}}
    FrameTable.from_frames(frames).save(tmp_path / "t.npz")
    table = FrameTable.load(tmp_path / "t.npz")
    for number, frame in enumerate(frames):
        loaded = table.frame(number)
        assert np.array_equal(loaded.positions, frame.positions)
        assert np.array_equal(loaded.arrays["REF_forces"], frame.arrays["REF_forces"])
        assert loaded.info["REF_energy"] == frame.info["REF_energy"]
        assert loaded.info["tags"] == {"a": 1}


def test_the_hash_sees_contents_and_reading_but_no_names_and_subsets(
    sample: DatasetConfig, tmp_path: Path
) -> None:
    files = dataset_files(sample, tmp_path, tmp_path)
    first = dataset_hash(sample, files)
    assert dataset_hash(sample.model_copy(update={"name": "x", "subsets": {}}), files) == first
    assert dataset_hash(sample.model_copy(update={"group_key": None}), files) != first
    files[0].write_text(files[0].read_text() + "\n")
    assert dataset_hash(sample, files) != first


def test_where_keeps_only_the_listed_frames(sample: DatasetConfig, tmp_path: Path) -> None:
    final = sample.model_copy(update={"where": {"is_final": (True,)}})
    index = build_index(final, tmp_path, tmp_path / "cache")
    assert [frame.id for frame in index.frames] == [f"sample.xyz#{n}" for n in (1, 3, 5)]


def test_a_dataset_without_a_usable_frame_is_refused(sample: DatasetConfig, tmp_path: Path) -> None:
    broken = sample.model_copy(update={"where": {"shell": (4,)}})
    with pytest.raises(UserError, match="no usable frame"):
        build_index(broken, tmp_path, tmp_path / "cache")


def test_an_empty_dataset_is_refused_each_time_it_is_asked_for(
    sample: DatasetConfig, tmp_path: Path
) -> None:
    (tmp_path / "sample.xyz").write_text("")
    cache = tmp_path / "cache"
    for _ in range(2):
        with pytest.raises(UserError, match="no usable frame"):
            ensure_index(sample, tmp_path, cache)
    assert not list(cache.rglob("index.json*"))


def test_an_empty_index_that_was_kept_does_not_count(sample: DatasetConfig, tmp_path: Path) -> None:
    digest = dataset_hash(sample, dataset_files(sample, tmp_path, tmp_path))
    cache = tmp_path / "cache"
    write_index(index_folder(cache, digest), DatasetIndex("sample", digest, ()))
    assert len(ensure_index(sample, tmp_path, cache).frames) == 5


def test_an_empty_generated_dataset_says_how_to_make_it_anew(tmp_path: Path) -> None:
    cache = tmp_path / "a cache"
    (cache / "datasets" / "demo").mkdir(parents=True)
    (cache / "datasets" / "demo" / "demo.xyz").touch()
    with pytest.raises(UserError, match="no usable frame") as caught:
        ensure_index(dataset_config("demo"), tmp_path, cache)
    assert data_command("build", "demo", cache_root=cache) in str(caught.value.remedy)


def test_a_file_in_the_mirror_folder_is_found(sample: DatasetConfig, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "sample.xyz").rename(tmp_path / "mirror" / "sample.xyz")
    (found,) = dataset_files(sample, tmp_path, tmp_path)
    assert found.parent.name == "mirror"


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../sample.xyz", "a/../../b.xyz"])
def test_paths_stay_below_the_data_root(
    pattern: str, make_config: Callable[..., DatasetConfig], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="leaves the folder"):
        dataset_files(make_config(pattern), tmp_path, tmp_path)


def test_files_of_the_same_name_are_refused(
    make_config: Callable[..., DatasetConfig], tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.xyz").touch()
    with pytest.raises(UserError, match=r"x\.xyz"):
        dataset_files(make_config("*/x.xyz"), tmp_path, tmp_path)


@pytest.mark.parametrize("name", [n for n in names("dataset") if n != "demo"])
def test_a_missing_dataset_says_where_it_comes_from(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        ensure_index(dataset_config(name), tmp_path, tmp_path / "cache")
    text = str(caught.value)
    assert "grid=demo" in text
    assert "dataset=nbmotaw" in text
    assert ("grid=lodo_nbmotaw" in text) == (name != "nbmotaw")
    assert ("'grid=demo' runs on data made on the spot." in " ".join(text.split())) == (
        name == "nbmotaw"
    )
    first_words = dataset_config(name).source.how_to_get.split()[:3]
    assert " ".join(first_words) in text


def test_ensure_indexes_once_in_a_child_and_reports_frames_left_out(
    sample: DatasetConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = ensure_index(sample, tmp_path, tmp_path / "cache")
    said = capfd.readouterr().err
    assert "Indexing dataset 'sample'" in said
    assert "1 frames of dataset 'sample' have errors" in said
    assert ensure_index(sample, tmp_path, tmp_path / "cache") == first
    assert "Indexing" not in capfd.readouterr().err


def test_an_unreadable_file_is_one_error_of_the_user(
    sample: DatasetConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sample.xyz").write_text("not a number\n")
    with pytest.raises(UserError, match="cannot be read") as caught:
        ensure_index(sample, tmp_path, tmp_path / "cache")
    assert str(caught.value.where).endswith("sample.xyz, frame 0")
    said = capfd.readouterr()
    assert said.err == "Indexing dataset 'sample' (once per version) …\n"
    assert said.out == ""


def test_a_cache_that_cannot_be_written_is_one_error_of_the_system(
    sample: DatasetConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file where a folder is expected")
    with pytest.raises(OSError, match=r"directory|exists") as caught:
        ensure_index(sample, tmp_path, tmp_path / "cache")
    assert str(tmp_path / "cache") in str(caught.value.filename)
    assert "Traceback" not in capfd.readouterr().err


def test_a_child_that_crashes_is_said_to_have_ended(
    sample: DatasetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError) as caught:
        ensure_index(sample, tmp_path, tmp_path / "cache")
    assert "ended with status -9" in caught.value.what
    assert "data check sample" in str(caught.value.remedy)


def test_the_light_modules_import_nothing_heavy() -> None:
    code = (
        "import sys, mo_hpc.data.ensure, mo_hpc.data.location, mo_hpc.data.trust, "
        "mo_hpc.data.__main__\n"
        "heavy = {'numpy', 'ase', 'torch', 'mace', 'pandas', 'matplotlib', 'scipy'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_roots_come_from_arguments_then_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MO_HPC_DATA", str(tmp_path / "d"))
    monkeypatch.setenv("MO_HPC_CACHE", str(tmp_path / "c"))
    assert resolve_roots(None, None) == (tmp_path / "d", tmp_path / "c")
    assert resolve_roots("/x", "/y") == (Path("/x"), Path("/y"))
