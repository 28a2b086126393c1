"""Typed clients of the controller: `Client` and `AsyncClient`, with the same verbs.

>>> with Client() as client:  # in a notebook server of the hub: where and who is in the environment
...     for machine in client.machines.list().items:
...         print(machine.name, machine.status)
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
import msgspec

from cernvmapi import (
    catalogueverbs,
    definitionverbs,
    hostverbs,
    lifecycleverbs,
    machineverbs,
    requestid,
    usageverbs,
    verbs,
    wire,
)
from cernvmapi.consoles import ConsoleKind
from cernvmapi.errors import ControllerUnreachable
from cernvmapi.models import Event, Health
from cernvmapi.sse import Position
from cernvmapi.verb import AsyncGroup, SyncGroup
from cernvmapi.wire import Call, Settings

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Generator, Iterator
    from pathlib import Path

    from cernvmapi.consoles import ConsolePosition
    from cernvmapi.consolestream import AsyncConsoleStream, ConsoleStream

T = TypeVar("T")

_EVENTS = "/events"
_DOWN = (503,)
"""How a controller answers that says of itself that it can do nothing."""
_HEALTH: Call[Health] = Call("GET", "/health", Health, also=_DOWN)
_DETAILS: Call[Health] = Call("GET", "/health/details", Health, also=_DOWN)
_METRICS: Call[str] = Call("GET", "/metrics", str)
_OPENAPI: Call[dict[str, Any]] = Call("GET", "/openapi.json", dict[str, Any])


class Machines(
    machineverbs.MachineVerbs, lifecycleverbs.LifecycleVerbs, definitionverbs.DefinitionVerbs, SyncGroup
):
    """The machines."""


class Operations(verbs.OperationVerbs, SyncGroup):
    """Long work."""


class Volumes(verbs.VolumeVerbs, SyncGroup):
    """The volumes that the hub made."""


class Appliances(catalogueverbs.ApplianceVerbs, SyncGroup):
    """What machines are made from."""


class Flavors(verbs.FlavorVerbs, SyncGroup):
    """The sizes."""


class Hosts(hostverbs.HostVerbs, SyncGroup):
    """The hosts."""


class Clusters(hostverbs.ClusterVerbs, SyncGroup):
    """Named sets of hosts and machines."""


class Networks(hostverbs.NetworkVerbs, SyncGroup):
    """The networks."""


class Pools(hostverbs.PoolVerbs, SyncGroup):
    """The storage pools."""


class Feeds(catalogueverbs.FeedVerbs, SyncGroup):
    """The feeds."""


class Catalogue(catalogueverbs.CatalogueVerbs, SyncGroup):
    """What the feeds offer."""


class Audit(verbs.AuditVerbs, SyncGroup):
    """Who did what."""


class UsageOf(usageverbs.UsageVerbs, SyncGroup):
    """What machines used."""


class AsyncMachines(
    machineverbs.MachineVerbs, lifecycleverbs.LifecycleVerbs, definitionverbs.DefinitionVerbs, AsyncGroup
):
    """The machines."""


class AsyncOperations(verbs.OperationVerbs, AsyncGroup):
    """Long work."""


class AsyncVolumes(verbs.VolumeVerbs, AsyncGroup):
    """The volumes that the hub made."""


class AsyncAppliances(catalogueverbs.ApplianceVerbs, AsyncGroup):
    """What machines are made from."""


class AsyncFlavors(verbs.FlavorVerbs, AsyncGroup):
    """The sizes."""


class AsyncHosts(hostverbs.HostVerbs, AsyncGroup):
    """The hosts."""


class AsyncClusters(hostverbs.ClusterVerbs, AsyncGroup):
    """Named sets of hosts and machines."""


class AsyncNetworks(hostverbs.NetworkVerbs, AsyncGroup):
    """The networks."""


class AsyncPools(hostverbs.PoolVerbs, AsyncGroup):
    """The storage pools."""


class AsyncFeeds(catalogueverbs.FeedVerbs, AsyncGroup):
    """The feeds."""


class AsyncCatalogue(catalogueverbs.CatalogueVerbs, AsyncGroup):
    """What the feeds offer."""


class AsyncAudit(verbs.AuditVerbs, AsyncGroup):
    """Who did what."""


class AsyncUsageOf(usageverbs.UsageVerbs, AsyncGroup):
    """What machines used."""


def _retriable(response: httpx.Response) -> bool:
    """Tell a controller that is being restarted from one that says no."""
    return response.status_code in {429, 500, 502, 503, 504}


class Client:
    """The controller, for code that waits.

    Parameters
    ----------
    url, token, ca
        See `cernvmapi.wire.Settings`; each has a default from the environment.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, ca: str | Path | ssl.SSLContext | None = None
    ) -> None:
        self._settings = Settings.of(url, token, ca)
        self._http = httpx.Client(**self._settings.httpx_options())
        self.machines = Machines(self)
        self.operations = Operations(self)
        self.volumes = Volumes(self)
        self.appliances = Appliances(self)
        self.flavors = Flavors(self)
        self.hosts = Hosts(self)
        self.clusters = Clusters(self)
        self.networks = Networks(self)
        self.pools = Pools(self)
        self.feeds = Feeds(self)
        self.catalogue = Catalogue(self)
        self.audit = Audit(self)
        self.usage = UsageOf(self)

    def send(self, call: Call[T]) -> T:
        """Make a call and return its result."""
        try:
            response = self._http.request(call.method, call.path, params=call.params, **_rest(call))
        except httpx.HTTPError as error:
            raise wire.unreachable(self._http.base_url, error) from error
        return call.read(response)

    def health(self, *, details: bool = False) -> Health:
        """Return how the controller is, which needs no token; with `details`, how each part of it is."""
        return self.send(_DETAILS if details else _HEALTH)

    def metrics(self) -> str:
        """Return the controller's metrics in Prometheus' text format."""
        return self.send(_METRICS)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return self.send(_OPENAPI)

    def events(
        self,
        *,
        after: int | None = None,
        types: Collection[str] | None = None,
        on_connection: Callable[[bool], object] | None = None,
    ) -> Generator[Event]:
        """Yield what happens, without an end and without a gap.

        A lost connection is made again, with growing pauses, where the last event ended. An event of type
        ``reset`` says that the controller no longer has what came in between: list again.

        Parameters
        ----------
        after
            Id of the last event that is known, `Page.event_id` of a list; None: from now on.
        types
            Only these.
        on_connection
            Called with True when the stream is open, with False when it is lost.

        Raises
        ------
        ControllerUnreachable
            If not even the first connection comes about.
        """
        position = Position(after)
        first = True
        while True:
            try:
                for event in self._stream(position, types, on_connection):
                    first = False
                    if event is not None:
                        yield event
            except ControllerUnreachable:
                if first:
                    raise
            if not first and on_connection:
                on_connection(False)  # noqa: FBT003
            time.sleep(position.delay())

    def _stream(
        self,
        position: Position,
        types: Collection[str] | None,
        on_connection: Callable[[bool], object] | None,
    ) -> Generator[Event | None]:
        """Yield the events of one connection, None once at its beginning."""
        try:
            with self._http.stream(
                "GET",
                _EVENTS,
                params=wire.event_params(types),
                headers=wire.event_headers(position.after),
                timeout=wire.STREAM_TIMEOUT,
            ) as response:
                if not response.is_success:
                    response.read()
                    raise _refused(response)
                position.connected()
                if on_connection:
                    on_connection(True)  # noqa: FBT003
                yield None
                for chunk in response.iter_bytes():
                    for message in position.feed(chunk):
                        yield msgspec.json.decode(message.data, type=Event)
                        position.passed(message.id)
        except httpx.HTTPError as error:
            raise wire.unreachable(self._http.base_url, error) from error

    @contextmanager
    def console(
        self,
        machine_id: str,
        kind: ConsoleKind = ConsoleKind.SERIAL,
        *,
        view_only: bool = False,
        after: ConsolePosition | None = None,
    ) -> Iterator[ConsoleStream]:
        r"""Open a console of a machine while the block runs.

        >>> with client.console(machine.id) as console:
        ...     console.write(b"ls\n")
        ...     print(console.read())

        Parameters
        ----------
        kind
            The serial console, or the screen: the bytes are then RFB's.
        view_only
            Whether what is written is thrown away.
        after
            `Console.position` of an earlier one, to read on there; else all that is kept comes first.
        """
        # Here, not above: websockets is for consoles alone, and an appliance below the layer may not have it.
        from cernvmapi import consolestream  # noqa: PLC0415

        ticket = self.machines.open_console(machine_id, kind, view_only=view_only, after=after)
        with consolestream.opened(self._settings, ticket) as console:
            yield console

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._settings.url}>"


class AsyncClient:
    """The controller, for code that awaits.

    Parameters
    ----------
    url, token, ca
        See `cernvmapi.wire.Settings`; each has a default from the environment.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, ca: str | Path | ssl.SSLContext | None = None
    ) -> None:
        self._settings = Settings.of(url, token, ca)
        self._http = httpx.AsyncClient(**self._settings.httpx_options())
        self.machines = AsyncMachines(self)
        self.operations = AsyncOperations(self)
        self.volumes = AsyncVolumes(self)
        self.appliances = AsyncAppliances(self)
        self.flavors = AsyncFlavors(self)
        self.hosts = AsyncHosts(self)
        self.clusters = AsyncClusters(self)
        self.networks = AsyncNetworks(self)
        self.pools = AsyncPools(self)
        self.feeds = AsyncFeeds(self)
        self.catalogue = AsyncCatalogue(self)
        self.audit = AsyncAudit(self)
        self.usage = AsyncUsageOf(self)

    async def send(self, call: Call[T]) -> T:
        """Make a call and return its result."""
        try:
            response = await self._http.request(call.method, call.path, params=call.params, **_rest(call))
        except httpx.HTTPError as error:
            raise wire.unreachable(self._http.base_url, error) from error
        return call.read(response)

    async def health(self, *, details: bool = False) -> Health:
        """Return how the controller is, which needs no token; with `details`, how each part of it is."""
        return await self.send(_DETAILS if details else _HEALTH)

    async def metrics(self) -> str:
        """Return the controller's metrics in Prometheus' text format."""
        return await self.send(_METRICS)

    async def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return await self.send(_OPENAPI)

    async def events(
        self,
        *,
        after: int | None = None,
        types: Collection[str] | None = None,
        on_connection: Callable[[bool], object] | None = None,
    ) -> AsyncGenerator[Event]:
        """Yield what happens, as `Client.events` does; `contextlib.aclosing` ends it at once."""
        position = Position(after)
        first = True
        while True:
            try:
                async with aclosing(self._stream(position, types, on_connection)) as stream:
                    async for event in stream:
                        first = False
                        if event is not None:
                            yield event
            except ControllerUnreachable:
                if first:
                    raise
            if not first and on_connection:
                on_connection(False)  # noqa: FBT003
            await asyncio.sleep(position.delay())

    async def _stream(
        self,
        position: Position,
        types: Collection[str] | None,
        on_connection: Callable[[bool], object] | None,
    ) -> AsyncGenerator[Event | None]:
        """Yield the events of one connection, None once at its beginning."""
        try:
            async with self._http.stream(
                "GET",
                _EVENTS,
                params=wire.event_params(types),
                headers=wire.event_headers(position.after),
                timeout=wire.STREAM_TIMEOUT,
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise _refused(response)
                position.connected()
                if on_connection:
                    on_connection(True)  # noqa: FBT003
                yield None
                async for chunk in response.aiter_bytes():
                    for message in position.feed(chunk):
                        yield msgspec.json.decode(message.data, type=Event)
                        position.passed(message.id)
        except httpx.HTTPError as error:
            raise wire.unreachable(self._http.base_url, error) from error

    @asynccontextmanager
    async def console(
        self,
        machine_id: str,
        kind: ConsoleKind = ConsoleKind.SERIAL,
        *,
        view_only: bool = False,
        after: ConsolePosition | None = None,
    ) -> AsyncIterator[AsyncConsoleStream]:
        """Open a console of a machine while the block runs, as `Client.console` does."""
        from cernvmapi import consolestream  # noqa: PLC0415

        ticket = await self.machines.open_console(machine_id, kind, view_only=view_only, after=after)
        async with consolestream.opened_async(self._settings, ticket) as console:
            yield console

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._settings.url}>"


def _rest(call: Call[Any]) -> dict[str, Any]:
    """Return the body of a request, and the headers of its own."""
    content = call.content()
    headers = requestid.headers()
    if content is None:
        return {"headers": headers}
    return {"content": content, "headers": {"Content-Type": "application/json", **headers}}


def _refused(response: httpx.Response) -> Exception:
    """Return why there is no stream: a controller on its way up is only out of reach."""
    error = wire.failure(response)
    if _retriable(response) and not isinstance(error, ControllerUnreachable):
        return ControllerUnreachable(error.detail)
    return error
