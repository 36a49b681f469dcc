"""How hard an unseen dopant should be, from what is known before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from mo_hpc.analysis.element_properties import ElementProperties, element_properties
from mo_hpc.metrics.correlations import average_ranks, holm, rank_relation

PREDICTORS = {
    "size_misfit_percent": "size misfit (%)",
    "energy_difference_ev": "energy difference (eV)",
    "pettifor_distance": "Pettifor distance",
    "mean_rank": "mean rank",
}
"""Key → heading of what may tell the difficulty; the last joins the others."""
PREDICTORS_TEXT = (
    "Size misfit: difference of the cube roots of the atomic volumes of the element's and the "
    "host's crystals, in percent of the host's; energy difference: of the energies per atom of "
    "these crystals; Pettifor distance: mean distance to the other trained elements, the host "
    "included, on Pettifor's scale. Mean rank: the mean of the element's ranks by these three, 1 "
    "the easiest."
)
TESTS_TEXT = (
    "ρ: Spearman's rank correlation with the measured error over the n elements, positive where "
    "the error grows with the predictor; p: two-sided share of permutations with as large a "
    "correlation. CSV has p adjusted by Holm's method for all tests of one study and protocol. "
    "Eleven elements show strong correlations only: chance alone exceeds |ρ| of about 0.6 in one "
    "of twenty tests, and each block has several tests."
)


def expected_difficulty(host: str, trained: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The predictors of each element, the easiest first.

    Args:
        host: The element that hosts them.
        trained: Unseen element → elements of the training frames.

    Returns:
        Columns ``element`` and the keys of `PREDICTORS`; elements without published properties
        are left out, and all of them where the host has none.
    """
    known = element_properties()
    if host not in known:
        return pd.DataFrame(columns=["element", *PREDICTORS])
    rows = [
        {"element": element} | _predictors(element, host, seen, known)
        for element, seen in trained.items()
        if element in known
    ]
    table = pd.DataFrame(rows, columns=["element", *PREDICTORS])
    joined = [key for key in PREDICTORS if key != "mean_rank"]
    ranks = [average_ranks(table[key].to_numpy(dtype=np.float64)) for key in joined]
    table["mean_rank"] = np.mean(ranks, axis=0)
    return table.sort_values(["mean_rank", "element"], ignore_index=True)


def rank_tests(table: pd.DataFrame, errors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rank correlations of each predictor with each measured error, a row for each error.

    Args:
        table: Predictors and errors, a row for each element.
        errors: Column of an error → its heading.

    Returns:
        Heading, ``n``, and for each predictor ``…_rho``, ``…_p`` and ``…_p_adjusted``; errors
        with too few values are left out.
    """
    rows: list[dict[str, Any]] = []
    found: list[tuple[dict[str, Any], str]] = []
    for error, heading in errors.items():
        known = table.dropna(subset=error).astype({error: float})
        row: dict[str, Any] = {"error": heading, "n": len(known)}
        for key in PREDICTORS:
            relation = rank_relation(known[key].to_numpy(dtype=np.float64), known[error].to_numpy())
            if relation is not None:
                row |= {f"{key}_rho": relation.rho, f"{key}_p": relation.p_value}
                found.append((row, key))
        rows.append(row)
    for (row, key), adjusted in zip(
        found, holm([row[f"{key}_p"] for row, key in found]), strict=True
    ):
        row[f"{key}_p_adjusted"] = adjusted
    return [row for row in rows if any(row is each for each, _ in found)]


def _predictors(
    element: str, host: str, seen: Sequence[str], known: Mapping[str, ElementProperties]
) -> dict[str, float]:
    own, of_host = known[element], known[host]
    others = [known[each] for each in {host, *seen} - {element} if each in known]
    radius_ratio = (own.volume_ang3_per_atom / of_host.volume_ang3_per_atom) ** (1 / 3)
    return {
        "size_misfit_percent": 100 * abs(radius_ratio - 1),
        "energy_difference_ev": abs(own.energy_ev_per_atom - of_host.energy_ev_per_atom),
        "pettifor_distance": fmean(abs(own.pettifor - each.pettifor) for each in others),
    }
