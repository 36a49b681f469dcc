"""Starts NCCL on one GPU: ``python -m mo_hpc.selfchecks.nccl_program``; status 0 if it works."""

from __future__ import annotations

import sys
from datetime import timedelta

_TIMEOUT = timedelta(seconds=60)


def main() -> int:
    """Reduces a tensor over the one rank there is."""
    import torch
    import torch.distributed as dist
    from torch.distributed import HashStore  # type: ignore[attr-defined]

    device = torch.device("cuda", 0)
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", store=HashStore(), rank=0, world_size=1, timeout=_TIMEOUT)
    values = torch.arange(8.0, device=device)
    dist.all_reduce(values)
    right = values.tolist() == list(range(8))
    dist.destroy_process_group()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
