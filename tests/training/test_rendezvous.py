from __future__ import annotations

import socket
import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import read_json, write_json
from mo_hpc.core.ranks import Ranks
from mo_hpc.training import rendezvous
from mo_hpc.training.rendezvous import meet, own_addresses


def _meet_all(path, *, devices=("", ""), environment=None, timeout_s=20):
    """All ranks at once; what each found or raised."""
    n_ranks = len(devices)

    def one(rank):
        try:
            ranks = Ranks(rank, n_ranks, rank)
            return meet(ranks, path, devices[rank], environment or {}, timeout_s=timeout_s)
        except Exception as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(n_ranks) as pool:
        # Rank 0 last, so that the others find what is there before it.
        return list(pool.map(one, reversed(range(n_ranks))))[::-1]


def _share_one_store(stores):
    first, *others = stores
    first.set("who", "zero")
    return all(store.get("who") == b"zero" for store in others)


def _announce(path, port, **changes):
    write_json(
        path, {"launch": "", "addresses": ["127.0.0.1"], "port": port, "token": "t"} | changes
    )


def test_ranks_meet_and_leave_nothing_behind(tmp_path):
    path = tmp_path / "rendezvous.json"
    assert _share_one_store(_meet_all(path, devices=("", "", "")))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_attempt_left_is_passed_over(tmp_path):
    path = tmp_path / "rendezvous.json"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        _announce(path, closed.getsockname()[1])
    assert _share_one_store(_meet_all(path))


def test_a_port_that_another_task_took_over_is_passed_over(tmp_path):
    path = tmp_path / "rendezvous.json"
    other = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    _announce(path, other.port)
    assert _share_one_store(_meet_all(path))
    assert not other.check(["mo_hpc/device/1"])


def test_a_port_that_another_program_took_over_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(rendezvous, "_ANSWER_S", 1.0)
    path = tmp_path / "rendezvous.json"

    class Refuse(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"HTTP/1.1 400 Bad Request")

    with socketserver.TCPServer(("127.0.0.1", 0), Refuse) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        _announce(path, web.server_address[1])
        assert _share_one_store(_meet_all(path))
        web.shutdown()


def test_the_announcement_of_another_launch_is_passed_over(tmp_path):
    path = tmp_path / "rendezvous.json"
    other = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    other.set("t", "")
    _announce(path, other.port, launch="7/0")
    assert _share_one_store(_meet_all(path, environment={"SLURM_JOB_ID": "8"}))
    assert not other.check(["mo_hpc/device/1"])


def test_an_address_that_does_not_resolve_costs_a_try(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "no-such-host.invalid")
    environment = {"SLURMD_NODENAME": "no-such-node.invalid"}
    assert own_addresses(environment)[:2] == ["no-such-host.invalid", "no-such-node.invalid"]
    assert _share_one_store(_meet_all(tmp_path / "rendezvous.json", environment=environment))


def test_a_given_address_is_the_only_one():
    assert own_addresses({"MASTER_ADDR": "10.0.0.1", "SLURMD_NODENAME": "n1"}) == ["10.0.0.1"]


def test_a_given_address_and_port_are_used(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    stores = _meet_all(tmp_path / "rendezvous.json", environment=environment)
    assert _share_one_store(stores)
    assert stores[0].port == port


def test_a_missing_rank_is_named(tmp_path):
    path = tmp_path / "rendezvous.json"
    with pytest.raises(dist.DistStoreError, match=r"Ranks \[1, 2\] of 3 did not come within 1 s"):
        meet(Ranks(0, 3, 0), path, "", {}, timeout_s=1)
    assert not path.exists()
    with pytest.raises(dist.DistStoreError, match="Rank 0 was not found within 1 s"):
        meet(Ranks(1, 3, 1), path, "", {}, timeout_s=1)


def test_two_ranks_on_one_gpu_are_refused_on_all_ranks(tmp_path):
    devices = ("H200 GPU-1", "H200 GPU-2", "H200 GPU-1")
    found = _meet_all(tmp_path / "rendezvous.json", devices=devices)
    assert [type(error) for error in found] == [UserError] * 3
    assert "Ranks 0 and 2 would use one GPU" in str(found[1])
    assert "gpus_per_node" in str(found[1])


def test_tasks_that_start_together_do_not_meet(tmp_path):
    paths = [tmp_path / str(number) / "rendezvous.json" for number in range(6)]
    with ThreadPoolExecutor(len(paths)) as pool:
        stores = list(pool.map(_meet_all, paths))
    assert all(_share_one_store(pair) for pair in stores)
    assert len({first.port for first, _ in stores}) == len(paths)


def test_the_file_is_there_while_ranks_are_missing(tmp_path):
    path = tmp_path / "rendezvous.json"
    leader = threading.Thread(target=meet, args=(Ranks(0, 2, 0), path, "", {}))
    leader.start()
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert read_json(path)["port"] > 0
    meet(Ranks(1, 2, 1), path, "", {})
    leader.join(timeout=20)
    assert not path.exists()
