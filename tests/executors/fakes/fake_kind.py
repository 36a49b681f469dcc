"""A task kind without a model: what it does stands in the axis ``behaviour``."""

import multiprocessing
import os
import signal
import sys
import time

from mo_hpc.core.errors import BadDataError, DivergedError, StopRequested, UserError
from mo_hpc.core.files import append_line, read_lines, sha256_file
from mo_hpc.core.record import EnergyReferences, TrainRecord
from mo_hpc.training.signals import StopFlag

ERRORS = {
    "fail": RuntimeError("the fake broke"),
    "bad_input": UserError("The fake was given a wrong word."),
    "bad_data": BadDataError("frame 3 has no energy"),
    "diverge": DivergedError("the loss is nan"),
    "memory": MemoryError("no room"),
}


def run_fake(paths, task, *, provenance, show_progress):
    """Leaves a line of its start, then behaves as the task's axes say."""
    rank = int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)
    earlier = sum(line["rank"] == rank for line in read_lines(paths.progress))
    facts = {
        "time": time.time(),
        "pid": os.getpid(),
        "rank": rank,
        "threads": os.environ["OMP_NUM_THREADS"],
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "slurm_cpus": os.environ.get("SLURM_CPUS_PER_TASK"),
    }
    append_line(paths.progress, facts)
    print(f"out of {task.id}, start {earlier}")
    print(f"err of {task.id}, start {earlier}", file=sys.stderr)
    behaviour = task.axes["behaviour"]
    if behaviour in ERRORS:
        raise ERRORS[behaviour]
    if behaviour == "stop_always" or (behaviour == "stop_once" and not earlier):
        raise StopRequested
    if behaviour == "wait" and not earlier:
        wait_for_a_signal(paths, rank, lag_s=2 if task.axes.get("slow_rank") == rank else 0)
    if behaviour == "with_children" and not earlier:
        wait_with_children(paths)
    if behaviour == "deaf" and not earlier:
        hear_nothing(paths, task.axes.get("seconds", float("inf")))
    if behaviour == "allocate":
        hold_memory(task.axes["mb"], task.axes["seconds"])
    if behaviour == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "sleep":
        time.sleep(task.axes["seconds"])
    return record_of(task, provenance) if rank == 0 else None


def run_maker(paths, task, *, provenance, show_progress):
    """Makes a model that other tasks can need."""
    paths.model.write_bytes(b"model")
    made = record_of(task, provenance)
    return made.model_copy(update={"model_sha256": sha256_file(paths.model)})


def wait_for_a_signal(paths, rank, *, lag_s):
    """Works until a signal asks to stop, then saves and says so."""
    asked = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _frame: asked.append(number))
    (paths.folder / (f"waiting-{rank}" if rank else "waiting")).touch()
    while not asked:
        time.sleep(0.02)
    time.sleep(lag_s)
    (paths.folder / "saved").write_text(str(int(asked[0])))
    raise StopRequested


def wait_with_children(paths):
    """Works with forked children, as a loader of data does; the signals reach them all."""
    with StopFlag() as flag:
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=time.sleep, args=(120,)) for _ in range(2)]
        for child in children:
            child.start()
        append_line(paths.folder / "children", [child.pid for child in children])
        (paths.folder / "waiting").touch()
        while not flag.is_set:
            time.sleep(0.02)
        # A signal that is delivered once more meets a task that is saving.
        time.sleep(1)
        append_line(paths.folder / "saves", {"pid": os.getpid(), "alive": alive(children)})
        for child in children:
            child.kill()
        raise StopRequested


def alive(children):
    """How many of the children no signal has ended."""
    return sum(child.is_alive() for child in children)


def hear_nothing(paths, seconds):
    """Works without ever looking at a request to stop."""
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    (paths.folder / "waiting").touch()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.1)


def hold_memory(mb, seconds):
    """Fills memory, in pages that are really used, and keeps it."""
    held = bytearray(os.urandom(1 << 20)) * mb
    time.sleep(seconds)
    assert held


def record_of(task, provenance):
    """The record of a task that did nothing."""
    return TrainRecord(
        task_id=task.id,
        digest=task.digest,
        grid=task.grid,
        stage=task.stage,
        axes=task.axes,
        paradigm=task.paradigm,
        dataset=task.dataset.config.name,
        dataset_hash=task.dataset.dataset_hash,
        subset=None,
        labels=task.dataset.config.labels,
        synthetic=True,
        split=task.split,
        foundation=None,
        seed=1,
        energy_references=EnergyReferences(policy="average", values_ev={}, sources={}),
        training=None,
        n_parameters=0,
        n_trainable_parameters=0,
        metrics={"energy_mae_mev_per_atom": 1.0},
        valid_metrics={},
        model_sha256=None,
        predictions_sha256="0" * 64,
        wall_time_s=0.0,
        provenance=provenance,
    )
