"""Waits for cloud-init where a context must be applied before the notebook server starts."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = "/run/cloud-init/result.json"
"""Written by cloud-init when its last stage ends; in memory, so never from an earlier boot."""

LONGEST = 600.0
"""Seconds."""


class ContextFailed(Exception):
    """The context was not applied; the sentence says why."""


def wait(cancelled: Callable[[float], bool], *, result: str = RESULT, longest: float = LONGEST) -> list[str]:
    """Wait until cloud-init is through.

    Parameters
    ----------
    cancelled
        Waits for so many seconds, and says whether waiting is of no use any more.
    result
        The file that cloud-init writes last.
    longest
        How long to wait, in seconds.

    Returns
    -------
    list of str
        What cloud-init calls errors.

    Raises
    ------
    ContextFailed
        When it takes too long.
    """
    end = time.monotonic() + longest
    while not os.path.exists(result):
        if time.monotonic() > end:
            raise ContextFailed(f"The context was not applied within {longest:.0f} s.")
        if cancelled(0.2):
            return []
    try:
        with open(result, encoding="utf-8") as file:
            errors = json.load(file)["v1"]["errors"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [str(error) for error in errors] if isinstance(errors, list) else []
