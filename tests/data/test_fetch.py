"""Downloads against a real server on this machine that can misbehave."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.progress import Progress

from mo_hpc.core.config import dataset_config, foundation_config
from mo_hpc.core.errors import UserError
from mo_hpc.data.download import MODEL_MAGIC, Download, RetryPolicy, download
from mo_hpc.data.fetch import fetch

CONTENT = bytes(range(256)) * 2048
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = RetryPolicy(attempts=4, first_wait_s=0.01)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `CONTENT`, with Range, in the way that the server's fields ask for."""

    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        start = self._start() if server.supports_ranges else 0
        if start >= len(server.body) > 0 and start:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        body = server.body[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        self.wfile.write(body[:cut])

    def _start(self) -> int:
        found = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        return int(found.group(1)) if found else 0

    def log_message(self, *_: object) -> None:
        """Keeps the test's output clean."""


class Server(http.server.ThreadingHTTPServer):
    """What is served, and what was asked for."""

    body = CONTENT
    supports_ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.cuts: list[int] = []
        self.ranges: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def get(server: Server, tmp_path: Path) -> Callable[..., bool]:
    def fetch_one(sha256: str | None = SHA256, magic: bytes = b"") -> bool:
        item = Download(f"{server.address}/f.bin", tmp_path / "deep" / "f.bin", sha256, magic)
        with Progress(disable=True) as progress:
            return download(item, progress, progress.add_task("f", total=None), QUICK)

    return fetch_one


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "deep").iterdir())


def test_a_file_is_brought_once(get: Callable[..., bool], server: Server, tmp_path: Path) -> None:
    assert get() is True
    assert (tmp_path / "deep" / "f.bin").read_bytes() == CONTENT
    assert get() is False
    assert len(server.ranges) == 1
    assert _files(tmp_path) == ["f.bin"]


def test_a_broken_connection_is_resumed_where_it_broke(
    get: Callable[..., bool], server: Server, tmp_path: Path
) -> None:
    server.cuts = [100_000, 200_000]
    assert get()
    assert server.ranges == [None, "bytes=100000-", "bytes=300000-"]
    assert (tmp_path / "deep" / "f.bin").read_bytes() == CONTENT


def test_a_part_of_an_earlier_command_is_continued(
    get: Callable[..., bool], server: Server, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".f.bin.part").write_bytes(CONTENT[:70_000])
    assert get()
    assert server.ranges == ["bytes=70000-"]
    assert _files(tmp_path) == ["f.bin"]


def test_a_part_of_another_version_is_dropped(
    get: Callable[..., bool], server: Server, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".f.bin.part").write_bytes(b"other" * 1000)
    assert get()
    assert server.ranges == ["bytes=5000-", None]
    assert (tmp_path / "deep" / "f.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(get: Callable[..., bool], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".f.bin.part").write_bytes(CONTENT + b"more")
    assert get()
    assert (tmp_path / "deep" / "f.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_whole(
    get: Callable[..., bool], server: Server, tmp_path: Path
) -> None:
    server.supports_ranges = False
    server.cuts = [100_000]
    assert get()
    assert (tmp_path / "deep" / "f.bin").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(
    get: Callable[..., bool], server: Server
) -> None:
    server.statuses = [503, 429]
    assert get()
    assert len(server.ranges) == 3


def test_a_missing_file_is_said_at_once(get: Callable[..., bool], server: Server) -> None:
    server.statuses = [404] * 9
    with pytest.raises(UserError, match="404"):
        get()
    assert len(server.ranges) == 1


def test_retries_are_bounded_and_keep_the_part(
    get: Callable[..., bool], server: Server, tmp_path: Path
) -> None:
    server.cuts = [1000] * 20
    with pytest.raises(UserError, match="could not be downloaded"):
        get()
    assert len(server.ranges) == QUICK.attempts
    assert (tmp_path / "deep" / ".f.bin.part").stat().st_size == 1000 * QUICK.attempts


def test_a_wrong_hash_leaves_nothing(get: Callable[..., bool], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sha256"):
        get(sha256="0" * 64)
    assert _files(tmp_path) == []


@pytest.mark.parametrize("sha256", [None, SHA256])
def test_a_web_page_in_place_of_a_model_is_refused(
    sha256: str | None, get: Callable[..., bool], server: Server, tmp_path: Path
) -> None:
    server.body = b"<!DOCTYPE html><html>Sign in to continue</html>"
    with pytest.raises(UserError, match="web page"):
        get(sha256=sha256, magic=MODEL_MAGIC)
    assert _files(tmp_path) == []


def test_another_file_in_place_is_kept(get: Callable[..., bool], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "f.bin").write_text("mine")
    with pytest.raises(UserError, match="not overwritten"):
        get()
    assert (tmp_path / "deep" / "f.bin").read_text() == "mine"


def test_two_at_once_download_once(
    get: Callable[..., bool], server: Server, tmp_path: Path
) -> None:
    outcomes: list[bool] = []
    threads = [threading.Thread(target=lambda: outcomes.append(get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, True]
    assert len(server.ranges) == 1
    assert _files(tmp_path) == ["f.bin"]


def test_an_unreachable_address_is_said_with_the_way_round(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="could not be downloaded") as caught:
        fetch(
            "nbmotaw",
            tmp_path,
            tmp_path / "cache",
            mirror="http://127.0.0.1:9",
            retry=RetryPolicy(attempts=1),
        )
    assert "--mirror" in str(caught.value)


def test_only_what_has_a_pinned_hash_promises_to_resume(
    get: Callable[..., bool], server: Server
) -> None:
    server.cuts = [1000] * 20
    with pytest.raises(UserError) as caught:
        get(sha256=None)
    assert "resume" not in str(caught.value)
    assert server.ranges == [None, *(f"bytes={1000 * n}-" for n in range(1, QUICK.attempts))]


@pytest.mark.parametrize("mirror", ["ftp://x", "file:///copy", "s3://bucket"])
def test_a_mirror_of_another_kind_is_refused(mirror: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a folder nor") as caught:
        fetch("nbmotaw", tmp_path, tmp_path, mirror=mirror)
    assert mirror in str(caught.value)


def test_a_foundation_is_fetched_but_not_opened(server: Server, tmp_path: Path) -> None:
    server.body = MODEL_MAGIC + b"\x03\x04 a model"
    said = fetch("mace_mp_0_small", tmp_path, tmp_path / "cache", mirror=server.address)
    target = tmp_path / "foundation" / foundation_config("mace_mp_0_small").file
    assert target.read_bytes() == server.body
    assert hashlib.sha256(server.body).hexdigest() in said
    assert f"data trust {target} cache_root={tmp_path / 'cache'}" in said.replace("\\\n ", "")


@pytest.mark.parametrize("name", ["mo420", "mo6970", "mo_new_elements"])
def test_data_on_request_say_where_to_put_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fetch(name, tmp_path, tmp_path)
    text = " ".join(str(caught.value).split())
    assert "on request" in text
    assert f"{name}/{name}.xyz" in text
    assert "REF_energy" in text


def test_the_demo_is_made_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="made here") as caught:
        fetch("demo", tmp_path, tmp_path)
    assert "build demo" in str(caught.value)


def test_an_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nbmotav") as caught:
        fetch("nbmotav", tmp_path, tmp_path)
    assert "dataset=nbmotaw" in str(caught.value)


@pytest.mark.shared_data
def test_nbmotaw_comes_from_a_mirror_folder(shared_data_root: Path, tmp_path: Path) -> None:
    mirror = str(shared_data_root / "mirror")
    said = fetch("nbmotaw", tmp_path, tmp_path, mirror=mirror)
    n_files = len(dataset_config("nbmotaw").source.sha256)
    assert f"{n_files} files fetched" in said
    assert "0 files fetched" in fetch("nbmotaw", tmp_path, tmp_path, mirror=mirror)


@pytest.mark.shared_data
def test_a_data_root_that_holds_the_mirror_needs_no_fetch(shared_data_root: Path) -> None:
    assert "0 files fetched" in fetch("nbmotaw", shared_data_root, shared_data_root)


@pytest.mark.shared_data
def test_the_replica_is_verified_where_it_lies(shared_data_root: Path) -> None:
    said = fetch("mo6970_replica", shared_data_root, shared_data_root)
    assert "2 files are there with the pinned sha256" in said
