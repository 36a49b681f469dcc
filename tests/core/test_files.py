"""Writes that a crash, a reader or a second writer can interrupt; hashes of content."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import (
    append_line,
    canonical_json,
    digest,
    read_json,
    read_lines,
    sha256_file,
    write_atomic,
    write_json,
)

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
properties = settings(max_examples=60, deadline=None)


# -- atomic writes --------------------------------------------------------------------


def test_write_makes_folders_and_leaves_no_other_file(tmp_path):
    path = tmp_path / "a" / "b" / "record.json"
    write_atomic(path, "first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_failed_write_keeps_the_old_content_and_no_other_file(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_json(path, {"a": 1})

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_is_refused_before_the_file_is_touched(tmp_path, value):
    path = tmp_path / "record.json"
    write_json(path, {"a": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, {"a": value})
    assert read_json(path) == {"a": 1}


def test_permissions_follow_the_umask(tmp_path):
    """A temporary file is private; the record of a shared run must not be."""
    previous = os.umask(0o027)
    try:
        write_atomic(tmp_path / "record.json", "{}")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(previous)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o640


def test_killed_writer_leaves_the_old_document_or_the_new_one(tmp_path):
    """kill -9 at any moment: readers see a whole document."""
    path = tmp_path / "record.json"
    program = (
        "import sys; from pathlib import Path; from mo_hpc.core.files import write_json\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; write_json(Path(sys.argv[1]), {'n': n, 'fill': [n] * 20000})\n"
    )
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", program, str(path)])
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(20):
            document = read_json(path)
            assert document["fill"] == [document["n"]] * 20000
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        document = read_json(path)
        assert document["fill"] == [document["n"]] * 20000


# -- JSON lines -----------------------------------------------------------------------


def test_lines_of_concurrent_writers_stay_whole(tmp_path):
    path = tmp_path / "ledger.jsonl"
    program = (
        "import sys; from pathlib import Path; from mo_hpc.core.files import append_line\n"
        "for number in range(200):\n"
        "    line = {'writer': int(sys.argv[2]), 'number': number, 'fill': 'x' * 300}\n"
        "    append_line(Path(sys.argv[1]), line)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(n)]) for n in range(3)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = read_lines(path)
    assert len(lines) == 600
    for n in range(3):
        assert [line["number"] for line in lines if line["writer"] == n] == list(range(200))


@pytest.mark.parametrize("cut", range(1, 12))
def test_line_cut_short_costs_that_line_only(tmp_path, cut):
    path = tmp_path / "ledger.jsonl"
    append_line(path, {"n": 1})
    append_line(path, {"n": 2})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    before = read_lines(path)
    append_line(path, {"n": 3})
    assert read_lines(path) == [*before, {"n": 3}]
    assert {"n": 1} in before or cut > len('{"n": 2}\n')


def test_missing_ledger_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "ledger.jsonl") == []


# -- reading --------------------------------------------------------------------------


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist") as caught:
        read_json(tmp_path / "record.json")
    assert caught.value.where == str(tmp_path / "record.json")


@pytest.mark.parametrize("content", [b'{"a": ', b"\xff\xfe", b""])
def test_broken_file_is_named(tmp_path, content):
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(tmp_path / "record.json")


@properties
@given(document=documents)
def test_json_comes_back_as_it_was(tmp_path_factory, document):
    path = tmp_path_factory.mktemp("json") / "document.json"
    write_json(path, document)
    assert read_json(path) == document


# -- hashes ---------------------------------------------------------------------------


@properties
@given(st.dictionaries(st.text(), documents, max_size=6), st.randoms())
def test_digest_does_not_depend_on_the_order_of_keys(document, rng):
    items = list(document.items())
    rng.shuffle(items)
    assert digest(dict(items)) == digest(document)
    assert digest(json.loads(canonical_json(document))) == digest(document)


def test_digest_is_pinned():
    """Task ids of existing runs depend on it."""
    text = '{"a":[1,2.5,"\\u00e5"],"b":null}'
    assert canonical_json({"b": None, "a": [1, 2.5, "å"]}) == text
    assert digest({"b": None, "a": [1, 2.5, "å"]}) == hashlib.sha256(text.encode()).hexdigest()


def test_types_are_told_apart():
    assert len({digest(value) for value in (1, 1.0, "1", True, None, [1])}) == 6


def test_hash_of_a_file_is_that_of_its_content(tmp_path):
    content = os.urandom(3_000_001)
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()
