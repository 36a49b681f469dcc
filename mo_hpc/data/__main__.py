"""``python -m mo_hpc.data``: list, fetch, check, build, gather and trust."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mo_hpc.core.errors import (
    EXIT_DONE,
    EXIT_INCOMPLETE,
    UserError,
    run_command,
    unknown_name,
)
from mo_hpc.core.words import parse_words
from mo_hpc.data.location import resolve_roots

_ROOTS = ("data_root", "cache_root")

_FILE_KEYS = ("energy_key", "forces_key")
_FOLDER = "folder"

_DESCRIPTION = """\
Datasets and pretrained models: what there is, where it comes from and whether
it is sound.
"""

_EPILOG = """\
words of the form key=value, after the name:
  data_root=DIR    where datasets lie (default: $MO_HPC_DATA, else ./data)
  cache_root=DIR   where indices and generated datasets lie
                   (default: $MO_HPC_CACHE, else the user's cache)
  energy_key=NAME  check FILE: where its frames carry the total energy in eV
                   (default: REF_energy)
  forces_key=NAME  check FILE: where they carry the forces in eV/Å
                   (default: REF_forces)
  folder=DIR       build and gather a design: where its structures' folders lie
                   (default: calculations/NAME)
  run=DIR          gather a dataset: the run that labelled its structures; or
                   grid=NAME, the newest run of a grid (runs_root=DIR)

examples:
  python -m mo_hpc.data list
  python -m mo_hpc.data fetch nbmotaw
  python -m mo_hpc.data fetch nbmotaw --mirror /copy/of/repositories
  python -m mo_hpc.data check nbmotaw
  python -m mo_hpc.data check my_frames.xyz energy_key=energy forces_key=forces
  python -m mo_hpc.data build demo
  python -m mo_hpc.data build mo420
  python -m mo_hpc.data gather mo420 --partial
  python -m mo_hpc.data gather mo420_eam grid=label_mo420
  python -m mo_hpc.data trust data/foundation/my.model

exit status: 0 done, 1 errors were found in the data or runs are not finished,
2 the input is wrong
"""


def main(arguments: Sequence[str]) -> int:
    """Runs one of the commands.

    Raises:
        UserError: If an argument is wrong or the command cannot be done.
    """
    parser = _parser()
    # argparse takes no positional words after an option; they come back as unknown.
    options, further = parser.parse_known_args(arguments)
    if wrong := [word for word in further if word.startswith("-")]:
        parser.error(f"unknown option {wrong[0]}")
    options.words = [*options.words, *further]
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.data",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> _Adder:
        adder = _Adder(
            commands.add_parser(
                name,
                help=text,
                description=text,
                epilog=_EPILOG,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
        adder.parser.set_defaults(command=command)
        return adder

    add("list", _list, "show all datasets and pretrained models").flag(
        "--json", "one JSON document on stdout"
    ).words()
    add("fetch", _fetch, "download a dataset or pretrained model, or say how to get it").target(
        "NAME"
    ).option("--mirror", "folder or http(s) address with the same files").words()
    add("check", _check, "look for errors in a dataset or file, and index a dataset").target(
        "NAME|FILE"
    ).flag("--json", "one JSON document on stdout").flag("--all", "show every finding").words()
    add("build", _build, "make a dataset on the spot, or write a design's structures").target(
        "NAME"
    ).words()
    add(
        "gather",
        _gather,
        "read the finished runs of a design, or of a grid that labels, into datasets",
    ).target("NAME").flag(
        "--partial", "leave out the structures without a finished, converged run"
    ).words()
    add("trust", _trust, "accept a model file by its hash, so that it may be opened").target(
        "FILE"
    ).flag("--yes", "accept without asking").words()
    return parser


class _Adder:
    """Adds the few kinds of arguments that these commands have."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser

    def target(self, name: str) -> _Adder:
        self.parser.add_argument("target", metavar=name)
        return self

    def flag(self, name: str, text: str) -> _Adder:
        self.parser.add_argument(name, action="store_true", help=text)
        return self

    def option(self, name: str, text: str) -> _Adder:
        self.parser.add_argument(name, metavar="DIR|URL", help=text)
        return self

    def words(self) -> _Adder:
        self.parser.add_argument(
            "words", nargs="*", default=[], metavar="key=value", help="settings, see below"
        )
        return self


def _values(options: argparse.Namespace, *further: str) -> dict[str, str]:
    """The key=value words of the command line.

    Raises:
        UserError: If a word is malformed or its key unknown here.
    """
    return parse_words(options.words, (*_ROOTS, *further))


def _roots(values: dict[str, str]) -> tuple[Path, Path]:
    return resolve_roots(values.get("data_root"), values.get("cache_root"))


def _list(options: argparse.Namespace) -> int:
    from mo_hpc.data.listing import listing, print_listing

    document = listing(*_roots(_values(options)))
    if options.json:
        print(json.dumps(document, indent=1))
    else:
        print_listing(document)
    return EXIT_DONE


def _fetch(options: argparse.Namespace) -> int:
    from mo_hpc.data.fetch import fetch

    values = _values(options, "mirror")
    data_root, cache_root = _roots(values)
    mirror = options.mirror or values.get("mirror")
    print(fetch(options.target, data_root, cache_root, mirror=mirror))
    return EXIT_DONE


def _check(options: argparse.Namespace) -> int:
    values = _values(options, *_FILE_KEYS)
    _require_readers("Checking data", "check", options)
    from mo_hpc.core.config import dataset_config, names

    if options.target in names("dataset"):
        from mo_hpc.data.build import build_if_missing
        from mo_hpc.data.index import check_and_index

        _refuse_file_keys(options.target, values)
        config = dataset_config(options.target)
        data_root, cache_root = _roots(values)
        build_if_missing(config, cache_root)
        report, _ = check_and_index(config, data_root, cache_root)
    elif Path(options.target).is_file():
        from mo_hpc.data.check import check_file

        report = check_file(
            Path(options.target),
            energy_key=values.get("energy_key"),
            forces_key=values.get("forces_key"),
        )
    elif Path(options.target).is_dir():
        raise UserError(
            f"'{options.target}' is a folder.",
            where="NAME|FILE",
            remedy="Give the files in it one by one, or register them as a dataset.",
        )
    else:
        raise unknown_name("dataset or file", options.target, names("dataset"))
    if options.json:
        print(json.dumps(report.document(), indent=1))
    else:
        print(report.text(show_all=options.all))
    return EXIT_INCOMPLETE if report.count("error") else EXIT_DONE


def _require_readers(for_what: str, command: str, options: argparse.Namespace) -> None:
    """Refuses to open structures without the libraries for it.

    Raises:
        UserError: If one of them is missing.
    """
    from mo_hpc.core.libraries import READING, require_libraries

    words = ["data", command, options.target, *options.words]
    require_libraries(READING, for_what=for_what, in_image=words)


def _refuse_file_keys(dataset: str, values: dict[str, str]) -> None:
    for key in _FILE_KEYS:
        if key in values:
            raise UserError(
                f"'{key}' is for a file; '{dataset}' is a registered dataset.",
                where=f"{key}={values[key]}",
                remedy=f"Leave it out: configs/dataset/{dataset}.yaml says under 'keys' where the "
                "labels stand.",
            )


def _build(options: argparse.Namespace) -> int:
    from mo_hpc.core.config import dataset_config, names
    from mo_hpc.core.design import design_config, vasp_config

    if options.target in names("design"):
        folder = _design_folder(options)
        _require_readers("Writing structures", "build", options)
        from mo_hpc.data.design.folder import write_design

        design = design_config(options.target)
        print(write_design(design, vasp_config(design.vasp), folder))
        return EXIT_DONE
    from mo_hpc.data.build import build_dataset

    _, cache_root = _roots(_values(options))
    _require_readers("Generating data", "build", options)
    print(build_dataset(dataset_config(options.target), cache_root))
    return EXIT_DONE


def _gather(options: argparse.Namespace) -> int:
    from mo_hpc.core.design import design_config, vasp_config
    from mo_hpc.plan.runs import RUN_WORDS, find_run

    values = _values(options, _FOLDER, *RUN_WORDS)
    if named := {key: value for key, value in values.items() if key in RUN_WORDS}:
        run = find_run(named)
        _require_readers("Reading runs", "gather", options)
        from mo_hpc.labelling.gather import gather_labels

        data_root, _ = _roots(values)
        print(gather_labels(run, options.target, data_root, partial=options.partial))
        return EXIT_DONE
    design = design_config(options.target)
    folder = _design_folder(options)
    data_root, _ = _roots(_values(options, _FOLDER))
    _require_readers("Reading runs", "gather", options)
    from mo_hpc.data.design.gather import gather

    settings = vasp_config(design.vasp)
    print(gather(design, settings, folder, data_root, partial=options.partial))
    return EXIT_DONE


def _design_folder(options: argparse.Namespace) -> Path:
    """Where the structures' folders of a design lie."""
    given = _values(options, _FOLDER).get(_FOLDER)
    return Path(given or Path("calculations") / options.target).expanduser()


def _trust(options: argparse.Namespace) -> int:
    from mo_hpc.data.acceptance import trust

    _, cache_root = _roots(_values(options))
    entry = trust(Path(options.target), cache_root, confirm=_confirmer(options.yes))
    print(
        f"accepted: {entry.path}, {entry.n_parameters:,} parameters, "
        f"{len(entry.elements)} elements, sha256 {entry.sha256}"
    )
    return EXIT_DONE


def _confirmer(yes: bool) -> Callable[[str], bool]:
    def confirm(description: str) -> bool:
        print(description, file=sys.stderr)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UserError(
                "Accepting a checkpoint needs your consent.",
                where="--yes",
                remedy="Look at the hash and the origin above, then add --yes.",
            )
        print(
            "A model file can run code when it is opened. Accept this one? [y/N] ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return confirm


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
