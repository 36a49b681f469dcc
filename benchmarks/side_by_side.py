"""The same training by this suite and by `mace_run_train`, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

_REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Setup:
    """One training that both sides run.

    Attributes:
        n_train: Training structures.
        n_valid: Validation structures.
        repeats: Cubic cells along each axis (two atoms each).
        model: Fields of `mo_hpc.core.schema.ModelConfig`.
        train: Fields of `mo_hpc.core.schema.TrainConfig`.
        n_threads: Threads of torch.
    """

    n_train: int
    n_valid: int
    repeats: int
    model: dict[str, Any]
    train: dict[str, Any]
    n_threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """What one side did.

    Attributes:
        step_losses: Loss of every optimizer step.
        step_seconds: Time of every optimizer step.
        valid_energy_mae_ev_per_atom: After each epoch.
        valid_force_mae_ev_per_ang: Per component, after each epoch.
        wall_time_s: The whole process: import, data, training, final evaluation, saving.
    """

    step_losses: list[float]
    step_seconds: list[float]
    valid_energy_mae_ev_per_atom: list[float]
    valid_force_mae_ev_per_ang: list[float]
    wall_time_s: float


TINY_MODEL: dict[str, Any] = {
    "name": "toy",
    "num_channels": 8,
    "max_L": 0,
    "max_ell": 2,
    "correlation": 2,
    "r_max_ang": 4.5,
    "num_radial_basis": 8,
    "radial_mlp": [16, 16],
}
TRAIN: dict[str, Any] = {
    "preset": "toy",
    "loss": "l1l2",
    "energy_weight": 30.0,
    "forces_weight": 30.0,
    "learning_rate": 0.01,
    "weight_decay": 1e-6,
    "ema_decay": 0.9,
    "batch_size": 4,
    "eval_batch_size": 8,
    "max_epochs": 4,
    "dtype": "float64",
    "seed": 7,
}


def toy_frames(count: int, repeats: int, seed: int) -> list[Atoms]:
    """Rattled BCC cells of Mo with some Nb and W, labelled by a Lennard-Jones potential."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(count):
        frame = bulk("Mo", cubic=True) * (repeats, repeats, repeats)
        for site in rng.choice(len(frame), size=1 + number % 2, replace=False):
            frame.symbols[site] = rng.choice(["Nb", "W"])
        frame.set_cell(frame.cell * rng.uniform(0.97, 1.03), scale_atoms=True)
        frame.positions += rng.normal(scale=0.06, size=frame.positions.shape)
        frame.calc = LennardJones(sigma=2.45, epsilon=0.25, rc=5.0, smooth=True)
        offsets = {42: -10.0, 41: -9.0, 74: -12.0}
        energy = frame.get_potential_energy() + sum(offsets[z] for z in frame.numbers.tolist())
        frame.arrays["REF_forces"] = frame.get_forces()
        frame.calc = None
        frame.info |= {"REF_energy": energy, "frame_id": f"{seed}-{number}"}
        frames.append(frame)
    return frames


def write_setup(folder: Path, setup: Setup) -> None:
    """Writes the data of both sides and the settings of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    ase.io.write(folder / "train.xyz", toy_frames(setup.n_train, setup.repeats, 1))
    ase.io.write(folder / "valid.xyz", toy_frames(setup.n_valid, setup.repeats, 2))
    (folder / "setup.json").write_text(json.dumps(asdict(setup)))


def run_mace(folder: Path, setup: Setup, name: str = "mace") -> Outcome:
    """Runs `mace_run_train` with the settings that match."""
    model, train = setup.model, setup.train
    loss = "l1l2energyforces" if train["loss"] == "l1l2" else "weighted"
    options = {
        "name": name,
        "work_dir": folder / name,
        "train_file": folder / "train.xyz",
        "valid_file": folder / "valid.xyz",
        "model": "MACE",
        "E0s": "average",
        "num_channels": model["num_channels"],
        "max_L": model["max_L"],
        "max_ell": model["max_ell"],
        "correlation": model["correlation"],
        "num_interactions": 2,
        "r_max": model["r_max_ang"],
        "num_radial_basis": model["num_radial_basis"],
        "radial_MLP": json.dumps(model["radial_mlp"]),
        "loss": loss,
        "energy_weight": train["energy_weight"],
        "forces_weight": train["forces_weight"],
        "lr": train["learning_rate"],
        "weight_decay": train["weight_decay"],
        "ema_decay": train["ema_decay"],
        "batch_size": train["batch_size"],
        "valid_batch_size": train["eval_batch_size"],
        "max_num_epochs": train["max_epochs"],
        "default_dtype": train["dtype"],
        "seed": train["seed"],
        "plot": False,
        "device": "cpu",
    }
    words = [f"--{key}={value}" for key, value in options.items()]
    command = [sys.executable, "-W", "ignore", "-m", "mace.cli.run_train", "--ema", *words]
    seconds = _run(command, setup.n_threads)
    lines = [
        json.loads(line)
        for path in (folder / name / "results").glob("*_train.txt")
        for line in path.read_text().splitlines()
    ]
    steps = [line for line in lines if line["mode"] == "opt"]
    epochs = [line for line in lines if line["mode"] == "eval" and line["epoch"] is not None]
    return Outcome(
        [float(line["loss"]) for line in steps],
        [float(line["time"]) for line in steps],
        [line["mae_e_per_atom"] for line in epochs],
        [line["mae_f"] for line in epochs],
        seconds,
    )


def run_ours(folder: Path, setup: Setup, name: str = "ours") -> Outcome:
    """Runs the suite's training on the same files."""
    script = Path(__file__).with_name("train_toy.py")
    command = [sys.executable, "-W", "ignore", str(script), str(folder), name]
    return read_ours(folder / name, _run(command, setup.n_threads))


def read_ours(folder: Path, seconds: float) -> Outcome:
    """Reads what `train_toy.py` left in its folder."""
    steps = json.loads((folder / "steps.json").read_text())
    epochs = [json.loads(s) for s in (folder / "progress.jsonl").read_text().splitlines()]
    return Outcome(
        steps["losses"],
        steps["seconds"],
        [epoch["valid_energy_mae_mev_per_atom"] / 1e3 for epoch in epochs],
        [epoch["valid_force_mae_mev_per_ang_component"] / 1e3 for epoch in epochs],
        seconds,
    )


def _run(command: list[str], n_threads: int) -> float:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(n_threads))
    paths = os.pathsep.join(filter(None, (str(_REPOSITORY), os.environ.get("PYTHONPATH"))))
    started = time.perf_counter()
    result = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **threads, "PYTHONPATH": paths},
    )
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-4000:]}")
    return time.perf_counter() - started
