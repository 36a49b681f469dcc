"""The model card as Markdown. Light."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_ENERGY = "energy_mae_mev_per_atom"
_FORCE = "force_mae_mev_per_ang_component"
_OVERALL = (
    ("energy, meV/atom", _ENERGY),
    ("energy, offset removed, meV/atom", f"{_ENERGY}_offset_removed"),
    ("linear baseline without a network, meV/atom", f"{_ENERGY}_linear_baseline"),
    ("force component, meV/Å", _FORCE),
)
_FORM = {
    "model": "The model alone",
    "ase": "ASE calculator",
    "mliap": "LAMMPS `pair_style mliap unified`",
    "mace": "LAMMPS `pair_style mace`",
}


def card_text(card: dict[str, Any], usage: str) -> str:
    """The card for people.

    Args:
        card: The document of `mo_hpc.exports.card.card_document`.
        usage: Python lines that make the calculator.
    """
    models = card["models"]
    name = models[0]["task_id"] if len(models) == 1 else f"Committee of {len(models)} models"
    lines = [f"# {name}", ""]
    for warning in card["warnings"]:
        lines += [f"> **{warning}**", ""]
    lines += [
        *_section("Use", [_fenced("python", usage)]),
        *_section("What it knows", _known(card)),
    ]
    for model in models:
        lines += _section(f"Model {model['task_id']}", _model(model))
    lines += [
        *_section("Parity after export", _parity(card["parity"])),
        *_section("Never tested", [f"- {text}" for text in card["not_tested"]]),
        *_section("Files", _table(("file", "sha256"), card["files_sha256"].items())),
        *_section("Exported", _provenance(card["exported"])),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def _table(head: Sequence[str], rows: Any) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
    ]


def _known(card: dict[str, Any]) -> Iterator[str]:
    elements = card["elements"]
    yield f"- Elements, in the model's own order: {' '.join(elements['known'])}."
    without = " ".join(elements["not_in_training"])
    yield (
        f"- **In no frame of its own training: {without}.** What it says of them it has from "
        "its foundation, or from nowhere."
        if without
        else "- Every one of them is in its training frames."
    )
    yield f"- Cutoff {card['r_max_ang']:g} Å, {card['n_interactions']} message-passing steps."
    yield f"- Type of its numbers: {card['dtype']}."


def _model(model: dict[str, Any]) -> list[str]:
    return [
        *_data(model),
        "",
        *_errors(model),
        "",
        *_by_element(model),
        "",
        *_references(model["energy_references"]),
        "",
        *_provenance(model["provenance"]),
    ]


def _data(model: dict[str, Any]) -> Iterator[str]:
    split, config = model["split"], model["split"]["config"]
    subset = f"/{model['subset']}" if model["subset"] else ""
    yield f"- Data: {model['dataset']}{subset}, hash {model['dataset_hash'][:12]}."
    yield f"- Labels: {model['labels']}{' (SYNTHETIC)' if model['synthetic'] else ''}."
    yield f"- Licence of the data: {model['source']['licence']}"
    held_out = f", {config['element']} held out" if config["element"] else ""
    grouped = "whole trajectories on one side" if config["grouped"] else "frames at random"
    yield (
        f"- Split: {config['protocol']}{held_out}, {grouped}: {split['n_train']} train, "
        f"{split['n_valid']} valid, {split['n_test']} test, {split['n_excluded']} left out."
    )
    yield f"- Training: {model['paradigm']}, seed {model['seed']}, {_training(model['training'])}."
    yield f"- Foundation: {_foundation(model['foundation'])}."
    yield f"- Parameters: {model['n_parameters']:,}; sha256 {model['model_sha256']}."


def _training(training: dict[str, Any]) -> str:
    return (
        f"{training['epochs']} epochs ({training['stopped_by']}), best at "
        f"{training['best_epoch']}, batch {training['effective_batch_size']}"
    )


def _foundation(foundation: dict[str, Any] | None) -> str:
    if foundation is None:
        return "none"
    name = foundation["name"] or foundation["task_id"]
    kind = "STAND-IN, " if foundation["is_stand_in"] else ""
    return f"{name} ({kind}{' '.join(foundation['elements'])}), sha256 {foundation['sha256']}"


def _errors(model: dict[str, Any]) -> list[str]:
    errors = model["errors"]
    intervals = errors["intervals_95"]
    rows = [
        (title, _number(errors.get(key)), _interval(intervals.get(key))) for title, key in _OVERALL
    ]
    return [
        (
            f"Mean absolute errors on {errors['n_frames']} test frames of {errors['n_groups']} "
            f"trajectories, {errors['n_force_atoms']} atoms with forces:"
        ),
        "",
        *_table(("quantity", "MAE", "95 % interval"), rows),
        "",
        (
            "Offset removed: after one coefficient per element and host fitted to the test errors "
            "themselves. Intervals: bootstrap over trajectories."
        ),
    ]


def _by_element(model: dict[str, Any]) -> list[str]:
    rows = []
    for symbol, values in model["errors_by_element"].items():
        intervals = values["intervals_95"]
        mark = " (not in training)" if symbol in model["not_in_training"] else ""
        rows.append(
            (
                symbol + mark,
                values["n_frames"],
                _number(values[_ENERGY]),
                _interval(intervals[_ENERGY]),
                values["n_force_atoms"],
                _number(values[_FORCE]),
                _interval(intervals[_FORCE]),
            )
        )
    head = ("element", "frames", "E MAE", "95 %", "atoms", "F MAE", "95 %")
    return [
        (
            "By element: energies (meV/atom) of frames that contain it, force components (meV/Å) "
            "of its atoms."
        ),
        "",
        *_table(head, rows),
    ]


def _references(references: dict[str, Any]) -> list[str]:
    rows = [
        (symbol, f"{value:.6f}", references["sources"][symbol])
        for symbol, value in references["values_ev"].items()
    ]
    return [
        f"Reference energies, policy `{references['policy']}`:",
        "",
        *_table(("element", "E0, eV", "source"), rows),
    ]


def _parity(parities: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        (
            _FORM[each["form"]],
            each["task_id"],
            each["against"],
            each["n_frames"],
            f"{each['energy_ev_per_atom']:.1e}",
            _difference(each["force_ev_per_ang"]),
            f"{each['tolerance']:g}",
        )
        for each in parities
    ]
    head = ("form", "model", "against", "frames", "eV/atom", "eV/Å", "accepted")
    return ["Largest differences of energies and force components:", "", *_table(head, rows)]


def _provenance(account: dict[str, Any]) -> list[str]:
    git = account.get("git") or {}
    commit = f"{git['commit']}{' with changes' if git['dirty'] else ''}" if git else "unknown"
    libraries = ", ".join(f"{k} {v}" for k, v in (account.get("libraries") or {}).items())
    return [
        f"- {account.get('started')}, mo_hpc {account.get('mo_hpc')}, commit {commit}.",
        (
            f"- Lock file sha256 {account.get('lock_sha256')}; image sha256 "
            f"{account.get('image_sha256') or 'none: not in an image'}."
        ),
        f"- Python {account.get('python')}, {libraries}.",
    ]


def _difference(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _interval(interval: list[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}"
