"""`python -m mo_hpc.difficulty`: which unseen dopants should be hard to predict."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mo_hpc.core.errors import EXIT_DONE, UserError, run_command
from mo_hpc.core.libraries import TABLES, require_libraries
from mo_hpc.core.words import parse_words

if TYPE_CHECKING:
    from mo_hpc.analysis.table import Table

DIFFICULTY_SCHEMA_VERSION = 1

_DESCRIPTION = """\
Ranks dopants that a model has not seen by what is known of them beforehand:
size misfit, elemental energy and chemical distance to the trained elements.
Then tests that expectation against the published errors of the Mo-alloy paper
(Table 2), and shows how these follow the elements' energies. Needs no run;
collect makes the same tables of a run's own errors.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.difficulty
  python -m mo_hpc.difficulty elements=[Al,Zn,Cu] trained=[Cr,Fe,Nb,Ta,Ti,V,W]

Left out, elements and trained are the eleven dopants of the paper, and the
host is Mo. An element in both is held out: it counts as unseen.

exit status: 0 done, 2 wrong input.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.difficulty",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="elements, trained, host")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_intermixed_args(arguments)
    words = parse_words(options.words, ("elements", "trained", "host"))
    require_libraries(TABLES, for_what="Making tables", in_image=["difficulty", *arguments])
    tables = _tables(words)
    if options.json:
        from mo_hpc.analysis.table import to_rows

        document = {"schema_version": DIFFICULTY_SCHEMA_VERSION}
        rows = {table.name: to_rows(table) for table in tables}
        print(json.dumps(document | {"tables": rows}, indent=1, allow_nan=False))
    else:
        from mo_hpc.analysis.terminal import print_expectation

        print_expectation(*tables)
    return EXIT_DONE


def _tables(words: dict[str, str]) -> tuple[Table, Table, Table]:
    from mo_hpc.analysis.difficulty_tables import expectation_table, paper_rank_table
    from mo_hpc.analysis.energy_relation_tables import paper_relation_table
    from mo_hpc.analysis.reference_values import table2_elements

    of_paper = table2_elements()
    (host,) = _symbols("host", words.get("host", "Mo"), at_most=1)
    elements = _symbols("elements", words["elements"]) if "elements" in words else of_paper
    trained = _symbols("trained", words["trained"]) if "trained" in words else of_paper
    if host in elements:
        raise UserError(
            f"{host} is the host, which every training frame has.",
            where="elements",
            remedy=f"Leave {host} out, or name another host=….",
        )
    expected = expectation_table(host, elements, trained)
    return expected, paper_rank_table(), paper_relation_table()


def _symbols(key: str, text: str, *, at_most: int | None = None) -> list[str]:
    """Symbols of a word such as ``[Al,Zn]``, each once.

    Raises:
        UserError: If one of them is no element with published properties, there is none, or
            there are too many.
    """
    from mo_hpc.analysis.element_properties import element_properties

    known = element_properties()
    found = list(dict.fromkeys(text.strip("[] ").replace(" ", "").split(",")))
    wrong = [symbol for symbol in found if symbol not in known]
    if wrong or len(found) > (at_most or len(found)):
        raise UserError(
            f"'{text}' is not "
            + ("one element" if at_most == 1 else "a list of elements")
            + " whose energy, volume and Pettifor number are known here.",
            where=key,
            valid=list(known),
            remedy=f"Write it like {key}=" + ("Mo." if at_most == 1 else "[Al,Zn]."),
        )
    return found


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
