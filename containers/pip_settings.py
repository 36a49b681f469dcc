#!/usr/bin/env python3
"""Print, as bash code, how the caller's pip reaches its packages, for the inside of a build.

Reads pip's configuration files and PIP_* variables. Folders that the values name are not there
inside; each gets a place below /mnt and the value names that instead. Prints, quoted:

    export PIP_FIND_LINKS=/mnt/0
    binds+=(/home/me/wheels:/mnt/0)

Options that say where packages go, such as PIP_USER, are the host's own and are left out.

With --torch-source, prints instead one sha256 of where pip would look for torch: the addresses,
$TORCH_INDEX among them, without the names and passwords in them, and the names and sizes of torch's
files in folders.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Lists may name folders; the rest is passed on as it is.
_LISTS = ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS")
_PLAIN = ("NO_INDEX", "TRUSTED_HOST", "PROXY", "DEFAULT_TIMEOUT", "TIMEOUT", "RETRIES")
_FILES = ("CERT", "CLIENT_CERT")
_INSIDE = "/mnt"


def main() -> int:
    """Print the code; 0 also where there is nothing to say."""
    settings = {**_configured(_pip_config_list()), **_from_environment(os.environ)}
    if sys.argv[1:] == ["--torch-source"]:
        print(_torch_source(settings, os.environ.get("TORCH_INDEX")))
        return 0
    places: dict[Path, str] = {}
    for name, value in settings.items():
        moved = _moved(value, places, index=name.endswith("URL")) if name in _LISTS else value
        print(f"export PIP_{name}={shlex.quote(moved)}")
    for folder, inside in places.items():
        print(f"binds+=({shlex.quote(f'{folder}:{inside}')})")
    return 0


def _pip_config_list() -> str:
    """What the configuration files of pip say; nothing where there is no pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _configured(listing: str) -> dict[str, str]:
    r"""Settings of the lines of ``pip config list``, such as ``global.find-links='/a\n/b'``."""
    found = {}
    for section in ("global", "install"):
        for key, value in re.findall(rf"^{section}\.([\w-]+)=(.*)$", listing, re.MULTILINE):
            found[key.replace("-", "_").upper()] = " ".join(str(ast.literal_eval(value)).split())
    return _chosen(found)


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    prefix = "PIP_"
    return _chosen(
        {name.removeprefix(prefix): v for name, v in environment.items() if name.startswith(prefix)}
    )


def _chosen(settings: Mapping[str, str]) -> dict[str, str]:
    return {name: settings[name] for name in (*_LISTS, *_PLAIN, *_FILES) if settings.get(name)}


def _moved(value: str, places: dict[Path, str], *, index: bool) -> str:
    return " ".join(_one_moved(word, places, index=index) for word in value.split())


def _one_moved(word: str, places: dict[Path, str], *, index: bool) -> str:
    """An address as it is; a folder, or the address of one, as it is called inside."""
    address, path = urlsplit(word), _folder(word)
    if path is None:
        return word
    # Pages of an index point beside it: ../../files/NAME.whl.
    shared = path.resolve().parent if index else path.resolve()
    inside = places.setdefault(shared, f"{_INSIDE}/{len(places)}")
    moved = f"{inside}/{path.name}" if index else inside
    return f"file://{moved}" if address.scheme == "file" else moved


def _folder(word: str) -> Path | None:
    """The folder that a value names, as a path or an address; None where it names none."""
    address = urlsplit(word)
    path = Path(unquote(address.path) if address.scheme == "file" else word).expanduser()
    return path if address.scheme in ("", "file") and path.is_dir() else None


def _torch_source(settings: Mapping[str, str], torch_index: str | None) -> str:
    used = {name: settings.get(name, "") for name in (*_LISTS, "NO_INDEX")}
    if torch_index:
        used["INDEX_URL"] = torch_index
    sources = {name: [_contents(word) for word in value.split()] for name, value in used.items()}
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def _contents(word: str) -> str | list[list[str | int]]:
    """An address without its user; of a folder, the files of torch, in it or in its page."""
    folder = _folder(word)
    if folder is None:
        return re.sub(r"//[^/]*@", "//", word)
    files = [*folder.glob("torch-*"), *folder.glob("torch/torch-*")]
    return sorted([file.name, file.stat().st_size] for file in files)


if __name__ == "__main__":
    sys.exit(main())
