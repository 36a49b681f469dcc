"""Composing the configuration: Hydra's compose API once, then plain data.

Hydra gives the defaults lists and the override grammar; everything after it is plain
Python and pydantic, because one composition costs tens of milliseconds.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mo_hpc
from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.schema import DatasetConfig, FoundationConfig, ModelConfig, validated

GROUPS = ("grid", "dataset", "model", "train", "executor", "site", "retry")
_LITERAL = ("runs_root", "data_root", "cache_root", "foundation")
"""Keys whose value is taken as it was typed."""


LAUNCHER_CONFIGS = "MO_HPC_LAUNCHER_CONFIGS"
"""Set inside an image: what is planned there is planned by the files of who launched."""


def configs_folder() -> Path:
    """The folder of configuration files: inside an installed package, or of the checkout."""
    if launcher := os.environ.get(LAUNCHER_CONFIGS):
        return Path(launcher)
    package = Path(mo_hpc.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def names(group: str) -> list[str]:
    """The names that a configuration group offers, such as all grids."""
    return sorted(_files(group))


def load_named(group: str, name: str) -> dict[str, Any]:
    """Reads ``configs/<group>/<name>.yaml`` by itself.

    Raises:
        UserError: If there is no such name, or the file is not a YAML mapping.
    """
    from omegaconf import OmegaConf

    files = _files(group)
    if name not in files:
        raise unknown_name(group, name, files)
    with _readable_yaml():
        document = OmegaConf.to_container(OmegaConf.load(files[name]), resolve=True)
    if not isinstance(document, dict):
        raise UserError("The file is not a mapping of keys to values.", where=str(files[name]))
    return {str(key): value for key, value in document.items()}


def own_configs() -> Path | None:
    """The user's folder of further configuration files, ``$MO_HPC_CONFIGS``.

    Raises:
        UserError: If the variable names no folder.
    """
    value = os.environ.get("MO_HPC_CONFIGS")
    if not value:
        return None
    folder = Path(value).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"There is no folder '{value}'.", where="MO_HPC_CONFIGS")
    return folder


def _files(group: str) -> dict[str, Path]:
    """Name → file, of the package and of the user's own folder."""
    found: dict[str, Path] = {}
    for folder in filter(None, (configs_folder(), own_configs())):
        for path in (folder / group).glob("*.yaml"):
            if path.stem in found:
                raise UserError(
                    f"The name '{path.stem}' is taken by {found[path.stem]}.",
                    where=str(path),
                    remedy="Give the file another name.",
                )
            found[path.stem] = path
    return found


def dataset_config(name: str) -> DatasetConfig:
    """One entry of the dataset registry.

    Raises:
        UserError: If there is no such dataset.
    """
    return validated(DatasetConfig, load_named("dataset", name), where=f"dataset={name}")


def foundation_config(name: str) -> FoundationConfig:
    """One entry of the foundation registry.

    Raises:
        UserError: If there is no such foundation.
    """
    return validated(FoundationConfig, load_named("foundation", name), where=f"foundation={name}")


def model_config(name: str) -> ModelConfig:
    """One model size.

    Raises:
        UserError: If there is no such size.
    """
    return validated(ModelConfig, load_named("model", name), where=f"model={name}")


def compose(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Composes the configuration of a launch.

    Args:
        overrides: Words of Hydra's override grammar, such as ``grid=demo`` or
            ``train.learning_rate=1e-4``.

    Returns:
        The resolved configuration as plain data, and what was set on the command line: values
        by dotted key, choices by group.

    Raises:
        UserError: If a word is malformed or names something that does not exist.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _reject_unknown_choices(overrides)
    pairs = [word.split("=", 1) for word in overrides]
    choices = {key: value for key, value in pairs if key in GROUPS}
    literal = {key: _literal(key, value) for key, value in pairs if key in _LITERAL}
    values = dict(
        _parsed(f"{key}={value}")
        for key, value in pairs
        if key not in GROUPS and key not in _LITERAL
    )
    try:
        with (
            _readable_yaml(),
            initialize_config_dir(str(configs_folder().resolve()), version_base="1.3"),
        ):
            words = [f"{key}={value}" for key, value in choices.items()]
            composed = hydra_compose("launch", overrides=[*_search_path(), *words])
        OmegaConf.set_struct(composed, False)
        _require_own_name(composed, choices.get("grid"))
        for key, value in values.items():
            OmegaConf.update(composed, key, value, merge=False)
        document = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise _composition_error(error, choices.get("grid")) from None
    assert isinstance(document, dict)
    plain = {str(key): value for key, value in document.items()}
    return plain | literal, choices | values | literal


def _literal(key: str, text: str) -> str | None:
    """A path or name as it was typed: Hydra's grammar would not take every character of it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    elif text == "null":
        return None
    if not text:
        raise UserError(f"The value of {key} is empty.", where=key)
    return os.path.expanduser(text)  # noqa: PTH111 - Path would change names such as a//b


def _parsed(word: str) -> tuple[str, Any]:
    """Key and value of a word in Hydra's grammar.

    Raises:
        UserError: If it is malformed or does not set one value.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key = word.partition("=")[0]
    try:
        override = OverridesParser.create().parse_override(word)
        _reject_sweep(override)
        return override.key_or_group, _plain(override.value())
    except HydraException:
        raise UserError(
            f"The value of {key} cannot be parsed.",
            where=key,
            remedy=f"Write a list as {key}=[a,b]; put any other value in quotes: {key}=\"'…'\".",
        ) from None


def _search_path() -> list[str]:
    """The override that lets Hydra find the user's own files."""
    folder = own_configs()
    if folder is None:
        return []
    for group in GROUPS:
        _files(group)  # Hydra would silently take the package's file of two with one name.
    return [f"hydra.searchpath={json.dumps([f'file://{folder}'], ensure_ascii=False)}"]


def _require_own_name(composed: Any, grid: str | None) -> None:
    """Refuses a grid file that calls itself otherwise: its runs would be found by no one."""
    from omegaconf import OmegaConf

    if grid is None:
        return
    document = OmegaConf.to_container(composed, resolve=False)
    section = document.get("grid") if isinstance(document, dict) else None
    name = section.get("name") if isinstance(section, dict) else None
    if name != grid:
        raise UserError(
            f"The file is called {grid}.yaml, but its grid.name is {name or 'missing'}.",
            where=str(_files("grid")[grid]),
            remedy=f"Write 'name: {grid}' below 'grid:' in that file.",
        )


@contextmanager
def _readable_yaml() -> Iterator[None]:
    """Turns the complaints of the YAML reader into messages with file and line."""
    import yaml

    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.name}:{mark.line + 1}" if mark else None
        raise UserError(f"The file is not valid YAML: {error.problem}.", where=place) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"A configuration file cannot be read: {str(error).splitlines()[0]}.",
            where=_not_utf8(),
            remedy="Save it as UTF-8 text.",
        ) from None


def _not_utf8() -> str | None:
    """The first configuration file, and its line, that is not UTF-8 text."""
    for folder in filter(None, (configs_folder(), own_configs())):
        for path in sorted(folder.rglob("*.yaml")):
            for number, line in enumerate(path.read_bytes().splitlines(), start=1):
                if line.decode(errors="replace").encode() != line:
                    return f"{path}:{number}"
    return None


def _plain(value: Any) -> Any:
    """Hydra's parsed value as plain data (quoted strings become strings)."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value


def _reject_unknown_choices(overrides: Sequence[str]) -> None:
    """Names unknown words and group choices before Hydra does, with the valid ones."""
    for word in overrides:
        key, separator, value = word.partition("=")
        if not separator:
            raise UserError(
                f"The argument '{word}' is not of the form key=value.",
                where="command line",
                remedy="Write for example grid=demo or train.learning_rate=1e-4.",
            )
        if key in GROUPS and value not in names(key):
            raise unknown_name(key, value, names(key))


def _reject_sweep(override: Any) -> None:
    """Refuses the parts of Hydra's grammar that stand for several launches or remove a key."""
    if override.is_sweep_override() or override.is_delete():
        raise UserError(
            f"The argument '{override.input_line}' does not set one value.",
            where=override.key_or_group,
            remedy="Write a list as key=[a,b]. Tasks that differ come from axes.NAME=[a,b].",
        )


def _composition_error(error: Exception, grid: str | None) -> UserError:
    from hydra.errors import MissingConfigException

    if grid is None:
        return UserError(
            "No grid was chosen.",
            where="grid",
            valid=names("grid"),
            remedy="Write for example grid=demo.",
        )
    file = str(_files("grid")[grid])
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        if group in GROUPS:
            problem = unknown_name(group, name, names(group))
            return UserError(problem.what, where=f"{file}: defaults", valid=problem.valid)
        return UserError(
            f"The defaults list names '{error.missing_cfg_file}', which does not exist.",
            where=f"{file}: defaults",
            valid=GROUPS,
        )
    message = str(error).splitlines()[0].rstrip(".")
    unknown = re.search(r"Could not override '([^']*)'", message)
    if unknown:
        problem = unknown_name("group", unknown[1], GROUPS)
        return UserError(problem.what, where=f"{file}: defaults", valid=GROUPS)
    return UserError(f"The configuration could not be composed: {message}.", where=file)
