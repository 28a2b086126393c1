"""The hub's log lines of a start or a stop carry the id that the controller's lines of it carry."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cernvmapi import requestid

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class RequestLog(logging.LoggerAdapter[Any]):
    """A logger that ends each line with the id of the request, where there is one."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the id."""
        request_id = requestid.current()
        return (f"{msg} [request {request_id}]" if request_id else msg), kwargs
