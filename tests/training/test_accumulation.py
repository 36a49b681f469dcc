"""A step that is out of memory is done in parts, with the result of the whole."""

from __future__ import annotations

import functools
import weakref

import pytest
import torch

from mo_hpc.core.files import read_lines
from mo_hpc.core.record import read_record
from mo_hpc.training import evaluate, validation, worker
from mo_hpc.training.accumulation import AccumulatedStep
from mo_hpc.training.checkpoint import load_checkpoint
from mo_hpc.training.fit import fit
from mo_hpc.training.graphs import build_graphs, collate
from mo_hpc.training.loss import Objective
from mo_hpc.training.micro_batches import MicroBatches
from mo_hpc.training.model import Scaling, scratch_model
from mo_hpc.training.step import eager_step
from mo_hpc.training.worker import run_training_task

CPU = torch.device("cpu")
OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."
COMPARED = ("train_loss", "valid_loss", "valid_force_mae_mev_per_ang_component")


class TightStep:
    """A step that fails after its backward pass, so that its gradients are left behind."""

    def __init__(self, largest):
        self.largest = largest
        self.sizes = []

    def __call__(self, model, batch, objective, **counts):
        self.sizes.append(len(batch.energy))
        loss = eager_step(model, batch, objective, **counts)
        if len(batch.energy) > self.largest:
            raise torch.cuda.OutOfMemoryError(OUT_OF_MEMORY)
        return loss


def _run(paths, task, *, largest=None, monkeypatch=None):
    if monkeypatch is None:
        return run_training_task(paths, task, provenance={}, show_progress=False)
    step = TightStep(largest)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "fit", functools.partial(fit, step=step))
        return run_training_task(paths, task, provenance={}, show_progress=False), step.sizes


@pytest.fixture
def model_and_graphs(double, toy_frames, architecture):
    numbers = (41, 42, 74)
    graphs = build_graphs(toy_frames[:7], numbers, architecture.r_max_ang)
    references = dict.fromkeys(("Nb", "Mo", "W"), -1.0)
    return scratch_model(architecture, numbers, references, Scaling(1.0, 20.0)), graphs


def _gradients(step, model, graphs):
    n_atoms = sum(graph.n_atoms for graph in graphs)
    loss = step(
        model, collate(graphs), Objective("l1l2", 30.0, 30.0), n_structures=7, n_atoms=n_atoms
    )
    return loss, {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("largest", [7, 4, 3, 1])
def test_the_parts_add_up_to_the_whole(model_and_graphs, largest, capsys):
    model, graphs = model_and_graphs
    whole_loss, whole = _gradients(eager_step, model, graphs)
    expected = {name: None if g is None else g.clone() for name, g in whole.items()}
    # Gradients of an earlier step are still there.
    tight = TightStep(largest)
    micro_batches = MicroBatches("training", CPU)
    loss, found = _gradients(AccumulatedStep(tight, micro_batches), model, graphs)
    torch.testing.assert_close(loss, whole_loss, rtol=1e-12, atol=0)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None, name
        else:
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)
    said = capsys.readouterr().err
    if largest == 7:
        assert torch.equal(loss, whole_loss)
        assert (tight.sizes, micro_batches.size, said) == ([7], None, "")
    else:
        assert tight.sizes[0] == 7
        assert micro_batches.size <= largest
        assert "out of GPU memory with 7 structures at once; going on with 4" in said
    _gradients(AccumulatedStep(tight, micro_batches), model, graphs)
    assert tight.sizes.count(7) == (2 if largest == 7 else 1), "what failed is not tried again"


@pytest.mark.parametrize(
    ("error", "is_handled"),
    [
        (torch.cuda.OutOfMemoryError(OUT_OF_MEMORY), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), False),
        (MemoryError(), False),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_only_gpu_memory_is_a_reason_to_divide(model_and_graphs, error, is_handled):
    _, graphs = model_and_graphs

    def work(part):
        if len(part.energy) > 4:
            raise error
        return len(part.energy)

    micro_batches = MicroBatches("training", CPU)
    if is_handled:
        assert micro_batches.map(work, collate(graphs)) == [4, 3]
    else:
        with pytest.raises(type(error)):
            micro_batches.map(work, collate(graphs))


def test_a_failed_attempt_frees_its_tensors_before_the_next(model_and_graphs):
    _, graphs = model_and_graphs
    held, alive_at_start = [], []

    def work(part):
        alive_at_start.append(sum(reference() is not None for reference in held))
        activations = torch.zeros(3)
        held.append(weakref.ref(activations))
        if len(part.energy) > 2:
            raise torch.cuda.OutOfMemoryError(OUT_OF_MEMORY)

    MicroBatches("training", CPU).map(work, collate(graphs))
    assert alive_at_start == [0] * 6


def test_a_structure_that_does_not_fit_is_described(make_task, monkeypatch):
    paths, task = make_task("huge")
    with pytest.raises(torch.cuda.OutOfMemoryError, match="One structure of 16 atoms") as error:
        _run(paths, task, largest=0, monkeypatch=monkeypatch)
    assert type(error.value).__name__ == "OutOfMemoryError"
    assert "resources.device=cpu" in str(error.value)


def test_the_record_says_so_and_the_result_is_the_same(make_task, monkeypatch):
    whole_paths, task = make_task("whole", batch_size=5, max_epochs=2)
    whole = _run(whole_paths, task)
    paths, task = make_task("parts", batch_size=5, max_epochs=2)
    parts, sizes = _run(paths, task, largest=2, monkeypatch=monkeypatch)
    assert (whole.training.micro_batch_size, whole.training.accumulation_steps) == (5, 1)
    assert (parts.training.micro_batch_size, parts.training.accumulation_steps) == (2, 3)
    assert parts.training.effective_batch_size == whole.training.effective_batch_size == 5
    assert parts.training.steps == whole.training.steps
    assert sizes == [5, 3] + [2, 2, 1] * parts.training.steps
    for ours, theirs in zip(
        read_lines(paths.progress), read_lines(whole_paths.progress), strict=True
    ):
        for key in COMPARED:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-9), key


def test_a_resumed_task_goes_on_with_the_size_it_had_found(make_task, run_alone, monkeypatch):
    settings = {"batch_size": 4, "max_epochs": 3, "dtype": "float32"}
    unbroken_paths, task = make_task("unbroken", **settings)
    unbroken, _ = _run(unbroken_paths, task, largest=2, monkeypatch=monkeypatch)
    paths, task = make_task("killed", **settings)
    run_alone(paths, "12", LARGEST_STEP="2").communicate(timeout=120)
    assert load_checkpoint(paths.checkpoint_last)["micro_batch_sizes"] == [2]
    # The memory would hold more by now; the sums stay those of the run that never stopped.
    record, sizes = _run(paths, task, largest=99, monkeypatch=monkeypatch)
    assert set(sizes) == {2}
    assert record.training.resumed == 1
    assert record.training.micro_batch_size == 2
    assert record.metrics == unbroken.metrics
    ours, theirs = (load_checkpoint(p.checkpoint_last) for p in (paths, unbroken_paths))
    for name, value in ours["model"].items():
        assert torch.equal(value, theirs["model"][name]), name


def test_ranks_divide_by_themselves(make_task, run_alone):
    single_paths, task = make_task("single", batch_size=8, max_epochs=1)
    _run(single_paths, task)
    paths, _ = make_task("double", n_ranks=2, batch_size=8, max_epochs=1)
    children = [
        run_alone(paths, RANK=str(rank), WORLD_SIZE="2", LARGEST_STEP=largest)
        for rank, largest in enumerate(("1", "4"))
    ]
    for child in children:
        _, errors = child.communicate(timeout=180)
        assert child.returncode == 0, errors
    assert load_checkpoint(paths.checkpoint_last)["micro_batch_sizes"] == [1, None]
    training = read_record(paths).training
    assert (training.micro_batch_size, training.accumulation_steps) == (1, 4)
    for two, one in zip(read_lines(paths.progress), read_lines(single_paths.progress), strict=True):
        for key in COMPARED:
            assert two[key] == pytest.approx(one[key], rel=1e-6), key


def test_a_rank_whose_memory_is_too_small_ends_all(make_task, run_alone):
    paths, _ = make_task("double", n_ranks=2)
    children = [
        run_alone(paths, RANK=str(rank), WORLD_SIZE="2", LARGEST_STEP=largest)
        for rank, largest in enumerate(("8", "0"))
    ]
    errors = [child.communicate(timeout=180)[1] for child in children]
    assert [child.returncode for child in children] == [1, 1]
    assert "OutOfMemoryError: A structure does not fit into the GPU memory of another" in errors[0]
    assert "OutOfMemoryError: One structure of 16 atoms" in errors[1]


@pytest.mark.parametrize(
    ("module", "function"), [(validation, "_batch_sums"), (evaluate, "batch_values")]
)
def test_validation_and_evaluation_divide_too(make_task, monkeypatch, capsys, module, function):
    whole_paths, task = make_task("whole", max_epochs=1)
    whole = _run(whole_paths, task)
    undivided = getattr(module, function)

    def tight(model, batch, *arguments, **keywords):
        if len(batch.energy) > 1:
            raise torch.cuda.OutOfMemoryError(OUT_OF_MEMORY)
        return undivided(model, batch, *arguments, **keywords)

    monkeypatch.setattr(module, function, tight)
    paths, task = make_task("parts", max_epochs=1)
    parts = _run(paths, task)
    assert "out of GPU memory with" in capsys.readouterr().err
    for name in ("energy_mae_mev_per_atom", "force_mae_mev_per_ang_component"):
        assert parts.metrics[name] == pytest.approx(whole.metrics[name], rel=1e-9)
    assert parts.training.best_valid_loss == pytest.approx(whole.training.best_valid_loss, rel=1e-9)
    assert parts.training.accumulation_steps == 1
