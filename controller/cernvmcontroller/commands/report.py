"""``cernvm-controller report``: collect what a bug report needs, without secrets."""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from traitlets import Bool, Unicode

from cernvmapi.client import AsyncClient
from cernvmapi.errors import CernVMError
from cernvmapi.models import API_PREFIX
from cernvmcontroller import naming
from cernvmcontroller.app import CernVMController
from cernvmcontroller.commands.everyhost import every_host
from cernvmcontroller.hypervisor import open_hypervisor
from cernvmcontroller.report import database, secretvalues, system
from cernvmcontroller.report.bundle import Bundle
from cernvmcontroller.report.redactor import MASK, SECRET_NAME, Redactor, pseudonyms
from cernvmcontroller.statedir import StateError

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor import Hypervisor
    from cernvmcontroller.inventory import HostSpec

_MOST_MACHINES = 20
"""Failed machines of which domain and log are read."""
_ABOUT = """What is in this report
----------------------

{parts}

Passwords, tokens, keys and cookies were taken out: those that are known here, and what looks like one. Look
through it all the same before you give it to somebody.
{people}
"""
_NAMED = "Names of users, of their servers and machines, and addresses ARE in it: see --anonymize."
_UNNAMED = "Names of users and servers were replaced, the same name by the same word. Addresses are in it."


class Report(CernVMController):
    """Collects what a bug report needs into one archive, without secrets; also while nothing starts."""

    name = Unicode("cernvm-controller report")
    description = Unicode(__doc__ or "")
    subcommands: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    output = Unicode(
        help="File to write. Default: `cernvm-report-<hub_name>-<time>.tar.gz` in this folder."
    ).tag(config=True)
    anonymize = Bool(
        default_value=False, help="Replace the names of users and servers, each always by the same word."
    ).tag(config=True)

    aliases: ClassVar[dict[str, str]] = {  # type: ignore[misc]
        **CernVMController.aliases,
        "output": "Report.output",
    }
    flags: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]
        "anonymize": ({"Report": {"anonymize": True}}, "Replace the names of users and servers."),
    }

    async def run(self) -> None:
        """Write the report and say where it is.

        Raises
        ------
        StateError
            It cannot be written.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = Path(self.output or f"cernvm-report-{self.hub_name}-{stamp}.tar.gz")
        bundle = await self.collect()
        try:
            bundle.write(path)
        except OSError as error:
            raise StateError(f"The report {path} cannot be written: {error.strerror}.") from None
        print(f"Wrote {path}.\n{_NAMED if not self.anonymize else _UNNAMED}")  # noqa: T201 - the answer

    async def collect(self) -> Bundle:
        """Return what belongs into the report."""
        bundle = Bundle(await self._redactor())
        bundle.add("versions.json", system.versions())
        bundle.add("configuration.json", self._configuration())
        bundle.add("disks.json", system.disks([self.state, Path(self.pool_path)]))
        await bundle.collect("health.json", self._health)
        await bundle.collect("metrics.txt", self._metrics)
        rows = await database.contents(self.database_url)
        machines = rows["machines"] if isinstance(rows["machines"], list) else []
        consoles = {row["id"]: row.pop("console_tail", None) for row in machines}
        rows["machines by host and status"] = [
            {"host": host, "status": status, "number": number}
            for (host, status), number in Counter((row["host"], row["status"]) for row in machines).items()
        ]
        bundle.add("database.json", rows)
        for machine, console in consoles.items():
            if console:
                bundle.add(f"machines/{machine}/console.txt", console)
        for log in sorted((self.state / "log").glob("*.log")):
            await bundle.collect(f"logs/{log.name}", _reader(log))
        failed = [row for row in machines if row.get("error")][:_MOST_MACHINES]
        for spec in await every_host(self):
            await self._host(bundle, spec, [row for row in failed if row["host"] == spec.name])
        about = _ABOUT.format(
            parts="\n".join(sorted(bundle.parts)), people=_UNNAMED if self.anonymize else _NAMED
        )
        bundle.add("README.txt", about)
        return bundle

    async def _redactor(self) -> Redactor:
        known = list(secretvalues.secrets(self.state, self.database_url, Path(self.hub_token_file)))
        people: dict[str, str] = {}
        if self.anonymize:
            try:
                names = await database.people(self.database_url)
            except Exception as error:
                raise StateError(
                    "The names that --anonymize replaces cannot be read from the database "
                    f"({type(error).__name__}); leave it out."
                ) from error
            people = pseudonyms(names, self._key())
        return Redactor(known, people)

    def _key(self) -> bytes:
        """Return a secret of this installation, or one for this time only."""
        token = Path(self.hub_token_file)
        return token.read_bytes() if token.exists() else secrets.token_bytes()

    def _configuration(self) -> dict[str, Any]:
        """Return all options; what is called a secret is left out whatever it is, paths of files are not."""
        found: dict[str, Any] = {}
        for name in sorted(CernVMController.class_traits(config=True)):
            hidden = SECRET_NAME.search(name) and not name.endswith("_file")
            found[name] = MASK if hidden and getattr(self, name) else getattr(self, name)
        return found

    # --- the controller, if it runs ---

    def _client(self) -> AsyncClient:
        if not self.machine_bind:
            raise StateError("The controller listens for the proxy only (machine_bind is empty).")
        address, port = self.machine_bind[0]
        token = Path(self.hub_token_file).read_text().strip()
        ca = self.state / "controller-tls" / "ca.crt"
        return AsyncClient(f"https://{address}:{port}{API_PREFIX}", token, ca)

    async def _health(self) -> Any:
        async with self._client() as client:
            return msgspec.to_builtins(await client.health(details=True))

    async def _metrics(self) -> str:
        async with self._client() as client:
            return await client.metrics()

    # --- hosts ---

    async def _host(self, bundle: Bundle, spec: HostSpec, failed: list[dict[str, Any]]) -> None:
        hypervisor = open_hypervisor(spec.uri)

        async def capabilities() -> Any:
            await hypervisor.open()
            found = await hypervisor.capabilities()
            return {name: getattr(found, name) for name in found.__dataclass_fields__}

        try:
            await bundle.collect(f"hosts/{spec.name}/capabilities.json", capabilities)
            for row in failed:
                folder = f"machines/{row['id']}"
                await bundle.collect(f"{folder}/domain.xml", _xml(hypervisor, row["uuid"]))
                log = system.MACHINE_LOGS / f"{naming.domain_name(self.hub_name, row['id'])}.log"
                if log.exists():
                    await bundle.collect(f"{folder}/qemu.log", _reader(log))
        finally:
            try:
                await hypervisor.close()
            except CernVMError:
                bundle.add(f"hosts/{spec.name}/close.txt", "The connection could not be closed.\n")


def _xml(hypervisor: Hypervisor, uuid: str) -> Any:
    async def read() -> str:
        return await hypervisor.domain_xml(uuid)

    return read


def _reader(path: Path) -> Any:
    async def read() -> str:
        return system.tail(path)

    return read
