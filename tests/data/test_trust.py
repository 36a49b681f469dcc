"""A pickle is opened only after its hash was accepted, and in another process."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from mo_hpc.core.config import foundation_config, names
from mo_hpc.core.elements import SYMBOLS
from mo_hpc.core.errors import UserError
from mo_hpc.data.acceptance import trust
from mo_hpc.data.inspect_model import main as inspect
from mo_hpc.data.trust import TrustEntry, accepted, foundation_file, record


class _Marks:
    """Unpickling this leaves a file, as a harmful pickle would do worse."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path(self.path),)  # type: ignore[return-value]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    layer = torch.nn.Linear(3, 4)
    layer.register_buffer("atomic_numbers", torch.tensor([42, 73]))
    path = tmp_path / "my.model"
    torch.save(layer, path)
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_accepted_model_is_recorded_with_what_it_holds(model: Path, tmp_path: Path) -> None:
    shown: list[str] = []
    assert accepted(tmp_path, _sha256(model)) is None
    entry = trust(model, tmp_path, confirm=lambda text: not shown.append(text))
    assert _sha256(model) in shown[0]
    assert "not a registered foundation" in shown[0]
    assert entry.n_parameters == 16
    assert entry.elements == ("Mo", "Ta")
    assert accepted(tmp_path, _sha256(model)) == entry


def test_a_refusal_opens_and_records_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "opened"
    harmful = tmp_path / "harmful.model"
    torch.save(_Marks(mark), harmful)
    with pytest.raises(UserError, match="not accepted"):
        trust(harmful, tmp_path, confirm=lambda _: False)
    assert not mark.exists()
    assert accepted(tmp_path, _sha256(harmful)) is None


def test_what_is_no_model_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "state.model"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="not a MACE model"):
        trust(path, tmp_path, confirm=lambda _: True)
    assert accepted(tmp_path, _sha256(path)) is None


def test_a_model_that_only_carries_the_name_of_a_foundation_is_refused(
    model: Path, tmp_path: Path
) -> None:
    registered = foundation_config("mace_mp_0_small")
    impostor = foundation_file(registered, tmp_path)
    impostor.parent.mkdir()
    model.rename(impostor)
    with pytest.raises(UserError, match="16 parameters") as caught:
        trust(impostor, tmp_path, confirm=lambda _: True)
    assert "3,847,696" in str(caught.value)
    assert accepted(tmp_path, _sha256(impostor)) is None


def test_content_that_changed_after_it_was_accepted_is_not_opened(model: Path) -> None:
    with pytest.raises(SystemExit, match="changed"):
        inspect(str(model), "0" * 64)


@pytest.mark.parametrize("damage", ["{}", "[]", "{", '{"accepted": {"a": 1}}', "\xff"])
def test_a_damaged_list_says_what_to_do(damage: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_bytes(damage.encode("latin-1"))
    for use in (
        lambda: accepted(tmp_path, "0" * 64),
        lambda: trust(model, tmp_path, confirm=lambda _: True),
    ):
        with pytest.raises(UserError, match="accepted models is damaged") as caught:
            use()
        assert caught.value.remedy == "Remove the file and accept the models again."
        assert str(tmp_path / "trust.json") in str(caught.value.where)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        trust(tmp_path, tmp_path, confirm=lambda _: True)
    assert caught.value.what == f"The checkpoint {tmp_path} is a folder."


def test_the_list_keeps_earlier_entries(tmp_path: Path) -> None:
    entries = [
        TrustEntry(
            path=f"/m{number}",
            sha256=str(number) * 64,
            size=number,
            n_parameters=number,
            elements=("Mo",),
            origin="test",
            accepted_at="2026-01-01T00:00:00+00:00",
        )
        for number in (1, 2)
    ]
    for entry in entries:
        record(tmp_path, entry)
    assert [accepted(tmp_path, entry.sha256) for entry in entries] == entries
    assert json.loads((tmp_path / "trust.json").read_text())["schema_version"] == 1


@pytest.mark.parametrize("name", names("foundation"))
def test_registered_foundations_know_89_elements(name: str) -> None:
    config = foundation_config(name)
    assert len(set(config.elements)) == 89
    assert {"Y", "No"} & set(config.elements) == {"Y"}
    assert set(config.elements) <= set(SYMBOLS)
