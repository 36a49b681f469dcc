"""How the ranks of a task find each other: rank 0 says in a file where it listens.

A port that is computed from job and task may be taken: by any program, by another task that
shares the node, by what an earlier attempt left. And no launcher's variable names an address
of rank 0 that every site resolves. So the kernel chooses a free port for rank 0, which writes it
with the addresses of its host and a random token into the task's folder, which all nodes
share. The others try the addresses until one answers and knows the token. The file of another
launch (another job, step or restart) is passed over, and so is a port that is closed, or where
another task or another program answers.

Where the launcher sets ``MASTER_ADDR`` and ``MASTER_PORT`` these are used: torchrun keeps a
store of its own there. ``MASTER_ADDR`` alone replaces the addresses that rank 0 finds.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch.distributed import (  # type: ignore[attr-defined]
    DistError,
    DistStoreError,
    Store,
    TCPStore,
    rendezvous,
)

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import read_json, write_json
from mo_hpc.core.ranks import Ranks, launch_name

MEETING_S = 600.0
"""How long ranks wait for each other: imports from a busy file system take minutes."""

_ANSWER_S = 10.0
_PAUSE_S = 0.2


def meet(
    ranks: Ranks,
    path: Path,
    device: str,
    environment: Mapping[str, str] = os.environ,
    *,
    timeout_s: float = MEETING_S,
) -> Store:
    """Brings all ranks of a task to one store.

    Args:
        ranks: This process among the others.
        path: The file in which rank 0 says where it listens; gone when all have met.
        device: Name of the GPU that this rank takes for its own, the same name on no other
            device; empty where ranks share, as they may on a CPU.
        environment: The launcher's variables.
        timeout_s: How long to wait for the others.

    Raises:
        DistStoreError: If a rank is missing after that time.
        UserError: If two ranks would use one GPU.
    """
    timeout = timedelta(seconds=timeout_s)
    if "MASTER_ADDR" in environment and "MASTER_PORT" in environment:
        address = f"tcp://{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
        found = next(rendezvous(address, ranks.rank, ranks.world_size, timeout=timeout))
        store: Store = found[0]
        _introduce(store, ranks, device, timeout)
    elif ranks.rank == 0:
        store = _open_store(path, environment, timeout)
        try:
            _introduce(store, ranks, device, timeout)
        finally:
            path.unlink(missing_ok=True)
    else:
        store = _find_store(path, environment, timeout)
        _introduce(store, ranks, device, timeout)
    return store


def own_addresses(environment: Mapping[str, str]) -> list[str]:
    """Names and addresses by which other nodes may reach this one, best first.

    A host that calls itself by a name that others do not resolve, or resolve to themselves, is
    common; a wrong address costs a try, since what answers there does not know the token.
    """
    if address := environment.get("MASTER_ADDR"):
        return [address]
    host = socket.gethostname()
    found = [
        host,
        environment.get("SLURMD_NODENAME"),
        # Where srun was started: in a batch job the first node, that of rank 0.
        environment.get("SLURM_LAUNCH_NODE_IPADDR"),
        *_resolved(host),
        "127.0.0.1",
    ]
    return list(dict.fromkeys(each for each in found if each))


def _resolved(host: str) -> list[str]:
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None)]
    except OSError:
        return []


def _open_store(path: Path, environment: Mapping[str, str], timeout: timedelta) -> Store:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timeout)
    token = secrets.token_hex(16)
    store.set(token, "")
    document = {
        "launch": launch_name(environment),
        "addresses": own_addresses(environment),
        "port": store.port,
        "token": token,
    }
    write_json(path, document)
    return store


def _find_store(path: Path, environment: Mapping[str, str], timeout: timedelta) -> Store:
    deadline = time.monotonic() + timeout.total_seconds()
    launch = launch_name(environment)
    while time.monotonic() < deadline:
        document = _announcement(path)
        if document is not None and document["launch"] == launch:
            store = _reached(document["addresses"], document["port"], document["token"])
            if store is not None:
                store.set_timeout(timeout)
                return store
        time.sleep(_PAUSE_S)
    raise DistStoreError(
        f"Rank 0 was not found within {timeout.total_seconds():.0f} s: it did not start, or "
        f"what it wrote to {path} names no address that this node reaches. Export MASTER_ADDR "
        "with an address of the first node, and see its own messages."
    )


def _announcement(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = read_json(path)
    except UserError:
        return None
    return document


def _reached(addresses: Sequence[str], port: int, token: str) -> Store | None:
    """The store at the first address where one knows the token."""
    for address in addresses:
        try:
            # A refused connection is found out here, without torch's own retries and warnings.
            socket.create_connection((address, port), timeout=_ANSWER_S).close()
            store = TCPStore(
                address,
                port,
                is_master=False,
                wait_for_workers=False,
                timeout=timedelta(seconds=_ANSWER_S),
            )
            if store.check([token]):
                return store
        except (OSError, DistError):
            continue
    return None


def _introduce(store: Store, ranks: Ranks, device: str, timeout: timedelta) -> None:
    """Waits until all ranks are here, and compares the devices they are about to use."""
    keys = [f"mo_hpc/device/{rank}" for rank in range(ranks.world_size)]
    store.set(keys[ranks.rank], device)
    try:
        store.wait(keys, timeout)
    except DistError:
        missing = [rank for rank, key in enumerate(keys) if not store.check([key])]
        raise DistStoreError(
            f"Ranks {missing} of {ranks.world_size} did not come within "
            f"{timeout.total_seconds():.0f} s; see their own messages."
        ) from None
    devices = [store.get(key).decode() for key in keys]
    # The store is rank 0's: it stays until the others have read what may make all of them leave.
    have_read = [f"mo_hpc/have_read/{rank}" for rank in range(1, ranks.world_size)]
    if ranks.rank == 0:
        store.wait(have_read, timeout)
    else:
        store.set(have_read[ranks.rank - 1], "")
    _require_own_devices(devices)


def _require_own_devices(devices: Sequence[str]) -> None:
    owners: dict[str, int] = {}
    for rank, device in enumerate(devices):
        if not device:
            continue
        if device in owners:
            raise UserError(
                f"Ranks {owners[device]} and {rank} would use one GPU ({device}), which NCCL "
                "refuses.",
                where="resources.tasks_per_node",
                remedy="Set resources.gpus_per_node to the number of ranks of a node, or "
                "resources.tasks_per_node to the number of its GPUs.",
            )
        owners[device] = rank
