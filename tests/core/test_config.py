"""Composition: defaults, overrides, element symbols that YAML takes for truth values."""

from __future__ import annotations

from pathlib import Path

import pytest

from mo_hpc.core.config import (
    compose,
    dataset_config,
    load_named,
    model_config,
    names,
)
from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import DatasetConfig, RunConfig, validated

GRID = """\
# @package _global_
defaults:
  - override /dataset: probe
  - override /train: paper_text
grid:
  name: probe
  description: A grid for tests.
  stages:
    only:
      axes:
        element: {elements}
split:
  element: {element}
"""


DATASET = """\
name: probe
description: A dataset for tests.
reader: extxyz
files: [probe.xyz]
labels: none
source: {kind: local, how_to_get: Write it., licence: MIT}
"""


def add_grid(configs, *, elements="[Nb]", element="null"):
    text = GRID.format(elements=elements, element=element)
    (configs / "grid" / "probe.yaml").write_text(text)
    (configs / "dataset" / "probe.yaml").write_text(DATASET)


def composed(*words: str) -> RunConfig:
    document, _ = compose(words)
    return validated(RunConfig, document, where="")


def complaint(*words: str) -> UserError:
    with pytest.raises(UserError) as caught:
        composed(*words)
    assert max(map(len, f"error: {caught.value}".splitlines())) <= 80
    return caught.value


# -- defaults and overrides -----------------------------------------------------------


def test_grid_overrides_defaults_and_the_command_line_overrides_both(configs):
    add_grid(configs)
    assert composed("grid=probe").train.preset == "paper_text"
    assert composed("grid=probe", "train=demo").train.preset == "demo"
    assert composed("grid=probe", "train.max_epochs=7").train.max_epochs == 7


def test_order_of_words_does_not_matter(configs):
    add_grid(configs)
    words = ("train.max_epochs=7", "train=demo", "grid=probe")
    assert compose(words)[0] == compose(words[::-1])[0]


def test_explicit_values_are_those_of_the_command_line(configs):
    add_grid(configs)
    words = ("grid=probe", "train=demo", "axes.element=[Nb,'Ta']", "train.learning_rate=1e-4")
    _, explicit = compose(words)
    assert explicit == {
        "grid": "probe",
        "train": "demo",
        "axes.element": ["Nb", "Ta"],
        "train.learning_rate": 1e-4,
    }


def test_valid_key_that_no_file_lists_can_be_set(configs):
    add_grid(configs)
    assert composed("grid=probe", "train.early_stopping_patience=5").train == (
        composed("grid=probe").train.model_copy(update={"early_stopping_patience": 5})
    )


def test_nothing_of_hydra_stays_behind(configs, tmp_path, monkeypatch):
    from hydra.core.global_hydra import GlobalHydra

    add_grid(configs)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    compose(["grid=probe"])
    assert not GlobalHydra.instance().is_initialized()
    assert list(work.iterdir()) == []


# -- YAML and element symbols ---------------------------------------------------------


@pytest.mark.parametrize("symbol", ["No", "Y", "N", "F", "W", "Os"])
def test_symbols_on_the_command_line_stay_symbols(configs, symbol):
    add_grid(configs)
    config = composed("grid=probe", f"axes.element=[{symbol}]", f"split.element={symbol}")
    assert config.axes.element == (symbol,)
    assert config.split.element == symbol
    config = composed("grid=probe", f"train.energy_reference_ev={{{symbol}: -1.5}}")
    assert config.train.energy_reference_ev == {symbol: -1.5}


@pytest.mark.parametrize("symbol", ["'No'", "Y", "N", '"Y"', "W"])
def test_symbols_in_a_file_stay_symbols(configs, symbol):
    add_grid(configs, elements=f"[{symbol}]", element=symbol)
    config = composed("grid=probe")
    bare = symbol.strip("'\"")
    assert config.grid.stages["only"].axes["element"] == (bare,)
    assert config.split.element == bare


def test_unquoted_no_in_a_file_is_explained(configs):
    add_grid(configs, element="No")
    error = complaint("grid=probe")
    assert "truth value false; quote it, as in 'No'" in error.what
    assert error.where == "split.element"


def test_unquoted_no_as_a_key_is_explained(configs):
    add_grid(configs)
    preset = configs / "train" / "paper_text.yaml"
    preset.write_text(preset.read_text() + "energy_reference_ev: {No: -1.0}\n")
    assert "quote it, as in 'No'" in complaint("grid=probe").what


@pytest.mark.parametrize("value", ["Xx", "no", "1", "[a]", "mo"])
def test_what_is_no_element_is_refused(configs, value):
    add_grid(configs)
    error = complaint("grid=probe", f"axes.element=[{value}]")
    assert "not the symbol of a chemical element" in error.what
    assert error.where == "axes.element.0"


# -- what goes wrong ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("train.max_epoch=3", "train.max_epochs"),
        ("train.scheduler.factr=0.5", "train.scheduler.factor"),
        ("exes.element=[Nb]", "axes"),
        ("resources.memory=3", "resources.memory_gb"),
    ],
)
def test_unknown_key_names_the_nearest(configs, word, nearest):
    add_grid(configs)
    error = complaint("grid=probe", word)
    assert error.what == f"Unknown key '{word.partition('=')[0].split('.element')[0]}'."
    assert error.remedy == f"Did you mean {nearest}?"
    assert nearest in error.valid


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("train.max_epochs=true", "valid integer"),
        ("train.max_epochs=many", "valid integer"),
        ("train.max_epochs=0", "greater than or equal to 1"),
        ("train.max_epochs=1.5", "valid integer"),
        ("train.learning_rate='0.1'", "valid number"),
        ("train.learning_rate=inf", "finite number"),
        ("train.learning_rate=nan", "finite number"),
        ("train.amsgrad=1", "valid boolean"),
        ("axes.repeat=[true]", "valid integer"),
        ("split.valid_fraction=1", "less than 1"),
    ],
)
def test_wrong_type_or_range_names_field_and_value(configs, word, said):
    add_grid(configs)
    key, _, value = word.partition("=")
    error = complaint("grid=probe", word)
    assert said in error.what
    assert key in error.what
    assert value.strip("'[]").lower() in error.what.lower()


def test_wrong_choice_names_the_nearest(configs):
    add_grid(configs)
    error = complaint("grid=probe", "train.energy_reference=foundations")
    assert error.remedy == "Did you mean train.energy_reference=foundation?"
    assert set(error.valid) == {"average", "foundation", "estimated", "isolated", "explicit"}


def test_fractions_must_sum_to_one(configs):
    add_grid(configs)
    error = complaint("grid=probe", "split.fractions=[0.5,0.1,0.1]")
    assert "fractions must be positive and sum to 1" in error.what
    assert error.where == "split"


@pytest.mark.parametrize(
    "word",
    ["train.max_epochs=1,2", "train.max_epochs=range(1,3)", "~split=1"],
    ids=["choice sweep", "range sweep", "deletion"],
)
def test_sweeps_and_deletions_are_refused(configs, word):
    add_grid(configs)
    error = complaint("grid=probe", word)
    assert word in error.what
    assert "axes.NAME" in str(error.remedy)


@pytest.mark.parametrize("word", ["probe", "train.max_epochs", "~split", "train.max_epochs=[1"])
def test_malformed_words_are_refused(configs, word):
    add_grid(configs)
    complaint("grid=probe", word)


@pytest.mark.parametrize(
    "group", ["grid", "dataset", "model", "train", "executor", "site", "retry"]
)
def test_unknown_choice_lists_the_valid_ones(configs, group):
    add_grid(configs)
    error = complaint("grid=probe", f"{group}=nosuch")
    assert error.what == f"Unknown {group} 'nosuch'."
    assert set(error.valid) == set(names(group))


def test_no_grid_lists_the_grids(configs):
    error = complaint()
    assert error.what == "No grid was chosen."
    assert "demo" in error.valid


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("axes.element=W", "Write axes.element=[W]."),
        ("axes.seed=1", "Write axes.seed=[1]."),
        ("axes.paradigm=[finetune]", "Did you mean fine_tune?"),
        ("grid.stages.only.susbet=x", "Did you mean grid.stages.only.subset?"),
        ("train.scheduler=3", None),
        ("train.energy_reference_ev={Noo: 1.0}", None),
    ],
)
def test_remedies_can_be_typed(configs, word, remedy):
    add_grid(configs)
    error = complaint("grid=probe", word)
    assert error.remedy == remedy
    assert "array" not in error.what
    assert "object" not in error.what
    assert "[key]" not in str(error)


@pytest.mark.parametrize(("document", "kind"), [([], "a list"), (None, "null"), ("x", "a string")])
def test_a_document_of_another_type_is_named(document, kind):
    with pytest.raises(UserError, match=f"The document is {kind}, not an object") as caught:
        validated(RunConfig, document, where="some.json")
    assert caught.value.where == "some.json"


@pytest.mark.parametrize("word", ["train.preset=it's", "train.preset=a(b)", "train.preset=ü"])
def test_values_that_cannot_be_parsed_are_to_be_quoted(configs, word):
    add_grid(configs)
    error = complaint("grid=probe", word)
    assert error.what == "The value of train.preset cannot be parsed."
    assert "train.preset=\"'…'\"" in str(error.remedy)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("runs_root=/tmp/ünï", "/tmp/ünï"),
        ("runs_root=it's", "it's"),
        ("runs_root=/tmp/a(b),c", "/tmp/a(b),c"),
        ("cache_root='with blank'", "with blank"),
        ("runs_root=~/xx", str(Path.home() / "xx")),
        ("data_root=null", None),
        ("foundation=mace_mp_0_{size}", "mace_mp_0_{size}"),
        ("foundation=null", None),
    ],
)
def test_paths_are_taken_as_typed(configs, word, value):
    add_grid(configs)
    document, explicit = compose(["grid=probe", word])
    key = word.partition("=")[0]
    assert document[key] == explicit[key] == value


@pytest.mark.parametrize("word", ["runs_root=", "data_root=''", "runs_root=null"])
def test_paths_are_not_empty(configs, word):
    add_grid(configs)
    assert word.partition("=")[0] in complaint("grid=probe", word).what


def test_a_grid_is_called_as_its_file(configs):
    add_grid(configs)
    (configs / "grid" / "probe.yaml").rename(configs / "grid" / "other.yaml")
    with pytest.raises(UserError) as caught:
        composed("grid=other")
    error = caught.value
    assert error.where == str(configs / "grid" / "other.yaml")
    assert "its grid.name is probe" in error.what


@pytest.mark.parametrize(
    ("addition", "line"),
    [(b"a: [1\n", 2), (b"\ta: 1\n", 1), (b"# \xff\n", 1), (b"grid: 1\n", 1)],
    ids=["syntax", "tab", "not UTF-8", "duplicate key"],
)
def test_broken_files_are_named_with_the_line(configs, addition, line):
    add_grid(configs)
    path = configs / "grid" / "probe.yaml"
    text = path.read_bytes()
    path.write_bytes(text + addition)
    newline = b"\n"
    place = f"{path}:{text.count(newline) + line}"
    for read in (lambda: compose(["grid=probe"]), lambda: load_named("grid", "probe")):
        with pytest.raises(UserError) as caught:
            read()
        assert caught.value.where == place


@pytest.mark.parametrize(
    ("before", "after", "valid"),
    [("/dataset: probe", "/dataset: prob", "probe"), ("/dataset:", "/datset:", "dataset")],
)
def test_a_typo_in_a_defaults_list_names_the_file(configs, before, after, valid):
    add_grid(configs)
    path = configs / "grid" / "probe.yaml"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(UserError) as caught:
        composed("grid=probe")
    assert caught.value.where == f"{path}: defaults"
    assert valid in caught.value.valid


@pytest.mark.parametrize("key", ["array", "time", "tim", "no-requeue", "cpus_per_task", "output"])
def test_the_launchers_own_sbatch_options_are_refused(configs, key):
    add_grid(configs)
    error = complaint("grid=probe", f"site.sbatch={{{key}: 3}}")
    assert f"'{key}'" in error.what
    if key == "time":
        assert "resources.time_min" in error.what


# -- the user's own folder ------------------------------------------------------------


def test_own_files_are_found_and_take_no_name_away(configs, tmp_path, monkeypatch):
    add_grid(configs)
    own = tmp_path / "it's ünï, own"
    (own / "site").mkdir(parents=True)
    (own / "site" / "mine.yaml").write_text("name: mine\npartition: p\n")
    monkeypatch.setenv("MO_HPC_CONFIGS", str(own))
    assert composed("grid=probe", "site=mine").site.partition == "p"
    assert load_named("site", "mine")["partition"] == "p"
    assert "mine" in names("site")
    (own / "site" / "default.yaml").write_text("name: default\n")
    with pytest.raises(UserError, match="The name 'default' is taken by"):
        composed("grid=probe")
    monkeypatch.setenv("MO_HPC_CONFIGS", str(own / "nowhere"))
    assert complaint("grid=probe").where == "MO_HPC_CONFIGS"


# -- single entries -------------------------------------------------------------------


def test_entry_by_name():
    assert model_config("tiny").name == "tiny"
    assert names("model") == sorted(names("model"))


def test_unknown_entry_lists_the_entries():
    with pytest.raises(UserError, match="Unknown model 'tinny'") as caught:
        model_config("tinny")
    assert caught.value.remedy == "Did you mean model=tiny?"
    with pytest.raises(UserError, match="Unknown dataset"):
        dataset_config("../grid/demo")


def test_missing_field_of_an_entry_is_named(configs):
    (configs / "dataset" / "short.yaml").write_text("name: short\n")
    with pytest.raises(UserError, match="The field 'description' is missing") as caught:
        validated(DatasetConfig, load_named("dataset", "short"), where="dataset=short")
    assert caught.value.where == "dataset=short: description"
