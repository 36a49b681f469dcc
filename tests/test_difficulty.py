"""The command that ranks unseen dopants."""

from __future__ import annotations

import json

import pytest

from mo_hpc.core.errors import UserError
from mo_hpc.difficulty import main


def document(capsys, *words: str) -> dict[str, list[dict[str, object]]]:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["tables"]


def test_left_out_words_are_those_of_the_paper(capsys) -> None:
    tables = document(capsys)
    assert len(tables["difficulty"]) == 11
    assert tables["difficulty"][-1]["element"] == "Y"
    assert tables["difficulty_tests"][0]["n"] == 11
    assert tables["elemental_energies"][0]["n"] == 11


def test_words_choose_elements_training_and_host(capsys) -> None:
    (row,) = document(capsys, "elements=[Mo]", "trained=[W, Mo]", "host=Ta")["difficulty"]
    assert row["element"] == "Mo"
    # Ta has 52 on Pettifor's scale, Mo 55 and W 56; Mo itself is held out.
    assert row["pettifor_distance"] == pytest.approx((2 + 1) / 2)


def test_the_terminal_has_the_same_in_80_columns(capsys) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "the easiest first" in printed
    assert "16.71" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    "words", [["elements=[Xx]"], ["elements=[]"], ["host=[Mo,W]"], ["elements=[Mo]"], ["trained="]]
)
def test_words_that_make_no_sense_are_refused(words) -> None:
    with pytest.raises(UserError):
        main(words)
