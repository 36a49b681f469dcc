"""The reference and its log, the history, and what is kept of old nights."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from mo_hpc.core.errors import UserError, WorkIncomplete
from mo_hpc.regression import reference as reference_module
from mo_hpc.regression.folder import forget_old_nights, locked, new_night
from mo_hpc.regression.history import append_night, find_night, origin_of, read_history
from mo_hpc.regression.reference import accept, read_reference, reference_of
from mo_hpc.regression.report import lines_of_acceptance, lines_of_history

FORCES = "force_mae_mev_per_ang_component"


def accepted(folder, night, cell, value, reason="because"):
    new = reference_of(night(a=cell(**{FORCES: value, "n_frames": 5})), reason)
    return accept(folder, new)


def test_an_acceptance_is_logged_with_reason_author_and_old_values(folder, night, cell):
    assert read_reference(folder) is None
    first = accepted(folder, night, cell, 10.0, "first")
    second = accepted(folder, night, cell, 20.0, "a better loss")
    lines = [json.loads(line) for line in folder.reference_log.read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["first", "a better loss"]
    assert all(line["accepted_by"] and line["accepted"] and line["commits"] for line in lines)
    (change,) = second.changes
    assert (change.metric, change.old, change.new, change.unit) == (FORCES, 10, 20, "meV/Å")
    assert second.old_digest == first.reference_digest
    stored = read_reference(folder)
    assert stored is not None
    assert (stored.reason, stored.cells["a"].metrics[FORCES].value) == ("a better loss", 20)
    assert list(lines_of_acceptance(second))[1].strip() == "10 ± 0.1 → 20 ± 0.2 meV/Å"


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_reason_is_mandatory(night, cell, reason):
    with pytest.raises(UserError, match="needs a reason"):
        reference_of(night(a=cell(**{FORCES: 1})), reason)


def test_a_night_with_missing_tasks_cannot_be_the_reference(night, cell):
    with pytest.raises(UserError, match="a-3"):
        reference_of(night(unfinished=["a-3"], a=cell(**{FORCES: 1})), "because")
    with pytest.raises(UserError, match="not done"):
        reference_of(night(), "because")


@pytest.mark.parametrize("damage", ["edited", "cut", "no log", "earlier"])
def test_a_reference_that_was_not_accepted_is_refused(folder, night, cell, damage):
    accepted(folder, night, cell, 10.0)
    text = folder.reference.read_text()
    accepted(folder, night, cell, 20.0)
    if damage == "edited":
        folder.reference.write_text(folder.reference.read_text().replace("20.0", "25.0"))
    elif damage == "cut":
        folder.reference.write_text(text[: len(text) // 2])
    elif damage == "no log":
        folder.reference_log.unlink()
    else:
        folder.reference.write_text(text)
    with pytest.raises(UserError, match="without a reason on record"):
        read_reference(folder)
    accepted(folder, night, cell, 30.0)
    assert read_reference(folder) is not None


def test_a_crash_while_accepting_leaves_the_reason_and_no_silent_change(
    folder, night, cell, monkeypatch
):
    accepted(folder, night, cell, 10.0)

    def crash(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(reference_module, "write_json", crash)
    with pytest.raises(OSError, match="disk is full"):
        accepted(folder, night, cell, 20.0, "second")
    assert "second" in folder.reference_log.read_text()
    assert '"value": 10.0' in folder.reference.read_text()
    with pytest.raises(UserError):
        read_reference(folder)


def test_the_history_survives_a_line_that_was_cut(folder, night, cell):
    one, two = night(1, a=cell(**{FORCES: 1})), night(2, a=cell(**{FORCES: 2}))
    append_night(folder, one)
    with folder.history.open("a") as handle:
        handle.write('{"schema_version": 0}\n{"night": "2026-')
    append_night(folder, two)
    assert read_history(folder) == [one, two]
    assert find_night(folder, None) == two
    assert find_night(folder, one.night) == one
    with pytest.raises(UserError, match="Unknown night"):
        find_night(folder, "2026-01-03T033000Z")
    shown = list(lines_of_history([one, two], None))
    assert shown[0] == "Reference: none yet."
    assert max(map(len, shown)) <= 80


def test_records_of_two_commits_name_both():
    class Source:
        def __init__(self, commit):
            self.provenance = {"git": {"commit": commit, "dirty": False}, "mo_hpc": "1"}

    assert origin_of([Source("a"), Source("a")], {}).commit == "a"
    mixed = origin_of([Source("a"), Source("b")], {})
    assert (mixed.commit, mixed.commits, mixed.short_commit) == (None, ("a", "b"), "2 commits")
    assert origin_of([], {"git": None, "mo_hpc": "1"}).short_commit == "version 1"


def test_only_old_nights_are_removed(tmp_path):
    names = [f"2026-01-{day:02d}T033000Z" for day in (1, 2, 3)]
    for name in [*names, "2026-01-03T033000Z-2", "mine", "2026-01-01"]:
        (tmp_path / name).mkdir()
    removed = forget_old_nights(tmp_path, keep=2)
    assert sorted(path.name for path in removed) == names[:2]
    assert {path.name for path in tmp_path.iterdir()} == {
        names[2],
        f"{names[2]}-2",
        "mine",
        "2026-01-01",
    }


def test_a_night_never_takes_the_folder_of_another(tmp_path):
    moment = datetime(2026, 1, 1, 3, 30, tzinfo=UTC)
    for expected in ("2026-01-01T033000Z", "2026-01-01T033000Z-2", "2026-01-01T033000Z-3"):
        assert new_night(tmp_path, moment) == expected
        (tmp_path / expected).mkdir()


def test_two_nights_at_once_are_refused(folder):
    with locked(folder), pytest.raises(WorkIncomplete, match="Another"), locked(folder):
        pass
