"""What comes back from the test job, checked before it is believed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mo_hpc.core.strict import Strict
from mo_hpc.executors.checkup.probe import PRINTED


class CudaReport(Strict):
    """What torch says of the node's GPUs."""

    devices: tuple[str, ...]
    runtime: str | None
    error: str | None


class Software(Strict):
    """Python and packages of one side."""

    python: str
    executable: str
    packages: dict[str, str | None]
    code_sha256: str


class NodeReport(Software):
    """What the probe writes; see `mo_hpc.executors.checkup.probe`."""

    schema_version: int
    node: str
    word: str | None
    lock: str
    paths: dict[str, bool]
    n_cores: int
    memory_mb: int | None
    tmp: str | None
    tmp_free_gb: float
    cuda: CudaReport | None
    time_s: float


class SignalReport(Strict):
    """When the probe was asked to stop, by the node's clock; None: it never was."""

    received_at_s: float | None


@dataclass(slots=True)
class Outcome:
    """How the test job went, and what was seen of it when.

    Attributes:
        job_id: Its id.
        refusal: Why Slurm did not take it.
        pending: Why it still waited when patience ended.
        end: How Slurm says it ended, where no report came.
        began: True if the batch script came as far as the site's setup.
        batch: What the batch script wrote, outside any container.
        report: What the probe wrote into the folder.
        printed: What the probe printed into its log; of use where ``report`` is missing.
        errors: The last lines of the job's error output.
        stop: What the probe wrote after it was asked to stop.
        window_s: Host times between which the report was made.
        stop_window_s: Host times between which the probe was asked to stop and said so.
    """

    job_id: str = ""
    refusal: str | None = None
    pending: str | None = None
    end: str | None = None
    began: bool = False
    batch: dict[str, str] = field(default_factory=dict)
    report: NodeReport | None = None
    printed: NodeReport | None = None
    errors: str = ""
    stop: SignalReport | None = None
    window_s: tuple[float, float] = (0.0, 0.0)
    stop_window_s: tuple[float, float] | None = None


def read_report(path: Path) -> NodeReport | None:
    """The probe's report, or None while it is not there."""
    text = text_of(path)
    return _report(text) if text else None


def read_signal(path: Path) -> SignalReport | None:
    """What the probe wrote after it was asked to stop, or None while it is not there."""
    text = text_of(path)
    return SignalReport.model_validate_json(text) if text else None


def printed_report(log: str) -> NodeReport | None:
    """The report among the lines of a log."""
    lines = (line for line in log.splitlines() if line.startswith(PRINTED))
    return next((_report(line.removeprefix(PRINTED)) for line in lines), None)


def text_of(path: Path) -> str:
    """A file's text, empty where there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def software(document: dict[str, Any]) -> Software:
    """The versions of this side, from `probe.software`."""
    return Software.model_validate(document)


def _report(text: str) -> NodeReport | None:
    """None for what another version of the probe wrote; the code check says so."""
    try:
        return NodeReport.model_validate_json(text)
    except (ValidationError, json.JSONDecodeError):
        return None
