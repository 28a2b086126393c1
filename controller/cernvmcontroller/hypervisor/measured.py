"""A hypervisor whose calls are counted and timed, whatever it is made of."""

from __future__ import annotations

import functools
import inspect
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from cernvmapi.errors import CernVMError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.telemetry.measures import Measures

_NOT_CALLS = frozenset({"open", "close"})
"""What lasts as long as a host is away."""


@dataclass(frozen=True)
class Calls:
    """The calls to one host at this moment."""

    in_flight: int = 0
    stuck: int = 0
    """Those that passed their deadline and never returned."""
    breaker_open: bool = False
    """So many deadlines were missed in a row that nothing more is asked until the host answers again."""


class MeasuredHypervisor:
    """Passes everything on.

    Parameters
    ----------
    hypervisor
        What does the work.
    host
        Name of the host, which labels what is counted.
    """

    def __init__(self, hypervisor: Hypervisor, host: str, measures: Measures) -> None:
        self._hypervisor = hypervisor
        self._host = host
        self._measures = measures
        self.in_flight = 0
        """Calls that were begun and did not end."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._hypervisor, name)
        if name in _NOT_CALLS or not inspect.iscoroutinefunction(found):
            return found
        measured = self.__dict__[name] = self._measured(name, found)
        return measured

    def _measured(
        self, verb: str, call: Callable[..., Coroutine[Any, Any, Any]]
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        @functools.wraps(call)
        async def measured(*args: Any, **kwargs: Any) -> Any:
            begun = time.monotonic()
            self.in_flight += 1
            try:
                answer = await call(*args, **kwargs)
            except CernVMError as error:
                self._measures.called(self._host, verb, time.monotonic() - begun, error.code)
                raise
            finally:
                self.in_flight -= 1
            self._measures.called(self._host, verb, time.monotonic() - begun, "")
            return answer

        return measured


def measured(hypervisor: Hypervisor, host: str, measures: Measures) -> Hypervisor:
    """Return a hypervisor that tells `measures` of each call and does what `hypervisor` does."""
    return cast("Hypervisor", MeasuredHypervisor(hypervisor, host, measures))


def calls_of(hypervisor: Hypervisor) -> Calls:
    """Return the calls of a hypervisor; only those of a measured one are counted while they last."""
    in_flight = hypervisor.in_flight if isinstance(hypervisor, MeasuredHypervisor) else 0
    return Calls(in_flight, hypervisor.stuck, hypervisor.breaker_open)
