"""Predictions of tasks, read only where they are those that the records were made from."""

from __future__ import annotations

import pandas as pd

from mo_hpc.analysis.records import RunRecords
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import sha256_file
from mo_hpc.metrics.predictions import Predictions


def test_predictions(records: RunRecords, frame: pd.DataFrame) -> list[Predictions]:
    """The test frames' predictions of the tasks of a frame, in its order.

    Raises:
        UserError: If a file is missing or its hash is not that of the record.
    """
    return [predictions_of(records, task_id).only("test") for task_id in frame["task_id"]]


def predictions_of(records: RunRecords, task_id: str) -> Predictions:
    """All predictions of a task that is done.

    Raises:
        UserError: If the file is missing or its hash is not that of the record.
    """
    path = records.run.task(task_id).predictions
    if not path.is_file() or sha256_file(path) != records.records[task_id].predictions_sha256:
        raise UserError(
            "The predictions are not the file that the task's record was made from.",
            where=str(path),
            remedy="Remove the task's metrics.json and launch again; the task is redone.",
        )
    return Predictions.load(path)
