"""What holds for every test of this folder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def logging_of_ones_own() -> Iterator[None]:
    """Let every test begin with the same logging, whatever programs an earlier one ran in this process.

    The controller's lines go where those of libraries go: pytest shows them with a failure, and standard
    output is the tests' own.
    """
    root, ours = logging.getLogger(), logging.getLogger("cernvmcontroller")
    handlers, level, our_level = list(root.handlers), root.level, ours.level
    ours.setLevel(logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)
