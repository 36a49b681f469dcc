"""Asking Slurm's commands, with a time limit and without their noise."""

from __future__ import annotations

import subprocess

_TIMEOUT_S = 60


class SlurmSilent(Exception):
    """A command of Slurm failed, is not there, or gave no answer in time."""


def ask(*command: str, timeout_s: int = _TIMEOUT_S) -> str:
    """What a command prints.

    Raises:
        SlurmSilent: If it fails; the message is the command's own.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise SlurmSilent(f"no answer within {timeout_s} s") from None
    except subprocess.CalledProcessError as error:
        raise SlurmSilent(error.stderr.strip() or f"exit status {error.returncode}") from None
    except OSError as error:
        raise SlurmSilent(error.strerror or str(error)) from None
    return done.stdout


def ask_or_none(*command: str) -> str | None:
    """What a command prints, or None where it does not answer."""
    try:
        return ask(*command)
    except SlurmSilent:
        return None
