"""The base of every model on disk and in the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

Scalar = str | int | float | bool

FOLDER_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
"""Names that become folders: one part of a path, and never ``..``."""


class Strict(BaseModel):
    """Base of every model: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",  # else a NaN metric would be recorded as null
    )
