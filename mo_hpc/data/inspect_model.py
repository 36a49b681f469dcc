"""Counts the parameters and elements of an accepted model; a process of its own.

``python -m mo_hpc.data.inspect_model FILE SHA256`` prints one JSON document. It runs the code
that the pickle holds, so only `mo_hpc.data.acceptance` starts it, after the hash was accepted.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path


def main(path: str, sha256: str) -> None:
    """Prints ``{"n_parameters", "elements"}`` of a MACE model.

    Raises:
        SystemExit: If the content is no longer the accepted one, or not a MACE model.
    """
    content = Path(path).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SystemExit("the file changed after its hash was accepted")
    import torch

    from mo_hpc.core.elements import SYMBOLS

    model = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "atomic_numbers"):
        raise SystemExit(f"it holds a {type(model).__name__} without atomic numbers")
    numbers = torch.as_tensor(model.atomic_numbers).tolist()
    document = {
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "elements": [SYMBOLS[number - 1] for number in numbers],
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main(*sys.argv[1:])
