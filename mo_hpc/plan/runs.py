"""Finding a run by its folder or by the name of its grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import RunPaths, runs_below
from mo_hpc.core.schema import RunConfig, validated

RUN_WORDS = ("run", "grid", "runs_root")


def find_run(words: Mapping[str, str]) -> RunPaths:
    """The run that ``run=DIR``, or ``grid=NAME`` with ``runs_root=DIR``, names.

    With ``grid=NAME`` it is the run whose manifest was written last.

    Raises:
        UserError: If there is no such run.
    """
    if "run" in words:
        run = RunPaths(Path(words["run"]))
        if not run.manifest.is_file():
            raise UserError(
                f"There is no run in {words['run']}: it has no {run.manifest.name}.",
                where="run",
                remedy="A run folder is <runs_root>/<grid>/<digest>, as launch prints it.",
            )
        return run
    root = Path(words.get("runs_root", "runs"))
    if "grid" not in words:
        raise UserError(
            "No run was named.",
            where="command line",
            valid=_grids(root),
            remedy="Write run=DIR, or grid=NAME for the newest run of a grid.",
        )
    runs = runs_below(root, words["grid"])
    if not runs:
        raise UserError(
            f"There is no run of the grid '{words['grid']}' below {root}.",
            where="grid",
            valid=_grids(root),
            remedy=f"Start one: python -m mo_hpc.launch grid={words['grid']}",
        )
    return max(runs, key=lambda run: run.manifest.stat().st_mtime)


def read_run_config(run: RunPaths) -> RunConfig:
    """The configuration that a run was launched with last.

    Raises:
        UserError: If it is missing or not valid.
    """
    import yaml

    try:
        # The parser in C, which some builds of PyYAML lack, takes a tenth of the time.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        document = yaml.load(run.config.read_text(), Loader=loader)  # noqa: S506 - safe, as named
    except (FileNotFoundError, yaml.YAMLError) as error:
        raise UserError(
            f"The run's configuration cannot be read: {str(error).splitlines()[0]}.",
            where=str(run.config),
            remedy="Launch the grid again with the same words; that writes it anew.",
        ) from None
    return validated(RunConfig, document, where=str(run.config))


def _grids(root: Path) -> list[str]:
    return sorted({f"grid={run.folder.parent.name}" for run in runs_below(root)})
