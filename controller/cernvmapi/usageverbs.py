"""The verbs that ask what machines used; a group of both clients, as those of `cernvmapi.verbs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.models import Page
from cernvmapi.steps import path
from cernvmapi.usage import Grouping, Usage, UsageStatistics
from cernvmapi.verb import Steps, verb
from cernvmapi.wire import Call, params

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

AT_ONCE = 200
"""Machines that the controller tells of in one answer."""


def _range(
    start: datetime | None, end: datetime | None, resolution: int | None, points: int | None
) -> dict[str, str]:
    return params(**{"from": start, "to": end, "resolution": resolution, "points": points})


def _usage(  # noqa: PLR0917 - as every verb below passes them
    kind: str,
    name: str,
    start: datetime | None,
    end: datetime | None,
    resolution: int | None,
    points: int | None,
) -> Call[Usage]:
    query = _range(start, end, resolution, points)
    return Call("GET", path(kind, name, "usage"), Usage, query)


class UsageVerbs:
    """What machines used; ``client.usage``.

    All take the same range: `start` and `end` (an instant without a zone is local time), the last hour if
    nothing is said; and how finely: `resolution` in seconds between two points, or at most how many `points`.
    """

    @verb
    def machine(
        self,
        machine_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        resolution: int | None = None,
        points: int | None = None,
    ) -> Call[Usage]:
        """Return what a machine used; who is not an administrator learns it for the time it was theirs."""
        return _usage("machines", machine_id, start, end, resolution, points)

    @verb
    def machines(
        self,
        machine_ids: Iterable[str],
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        resolution: int | None = None,
        points: int | None = None,
    ) -> Steps[list[Usage]]:
        """Return what each of many machines used, in their order, as for a list with a small chart a line."""
        ids, found = list(machine_ids), []
        query = _range(start, end, resolution, points)
        for begin in range(0, len(ids), AT_ONCE):
            asked = {**query, **params(ids=ids[begin : begin + AT_ONCE])}
            page = yield Call("GET", "/usage/machines", Page[Usage], asked)
            found += page.items
        return found

    @verb
    def host(
        self,
        host_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        resolution: int | None = None,
        points: int | None = None,
    ) -> Call[Usage]:
        """Return what the machines on a host used; for administrators."""
        return _usage("hosts", host_id, start, end, resolution, points)

    @verb
    def cluster(
        self,
        cluster_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        resolution: int | None = None,
        points: int | None = None,
    ) -> Call[Usage]:
        """Return what the machines of a cluster used; for administrators."""
        return _usage("clusters", cluster_id, start, end, resolution, points)

    @verb
    def appliance(
        self,
        appliance_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        resolution: int | None = None,
        points: int | None = None,
    ) -> Call[Usage]:
        """Return what the machines of an appliance used; for administrators."""
        return _usage("appliances", appliance_id, start, end, resolution, points)

    @verb
    def owner(
        self,
        owner: str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        resolution: int | None = None,
        points: int | None = None,
    ) -> Call[Usage]:
        """Return what a user's machines used; without a name one's own, for an administrator everybody's."""
        query = {**params(owner=owner), **_range(start, end, resolution, points)}
        return Call("GET", "/usage", Usage, query)

    @verb
    def statistics(
        self,
        *,
        by: Grouping | str = Grouping.APPLIANCE,
        owner: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Call[UsageStatistics]:
        """Return who started what, how long they waited and what was used; by default of the last 30 days.

        Parameters
        ----------
        by
            One item an ``appliance``, or an ``owner``.
        owner
            Only this user's; one's own for who is not an administrator.
        """
        query = {**params(by=by, owner=owner), **_range(start, end, None, None)}
        return Call("GET", "/usage/statistics", UsageStatistics, query)
