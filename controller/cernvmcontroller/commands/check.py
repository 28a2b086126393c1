"""``cernvm-controller check``: whether the database, the pools and the machines on the hosts agree."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from traitlets import Bool, Float, Unicode

from cernvmapi.errors import CernVMError
from cernvmcontroller.app import CernVMController
from cernvmcontroller.commands.everyhost import every_host
from cernvmcontroller.hypervisor import open_hypervisor
from cernvmcontroller.machines.ledger import Ledger
from cernvmcontroller.statedir import StateError, known_hub_id, take_lock
from cernvmcontroller.store import Store
from cernvmcontroller.store.database import Database
from cernvmcontroller.upkeep.agreement import Finding, compare, persistent
from cernvmcontroller.upkeep.inspection import Look, look
from cernvmcontroller.upkeep.repair import Repair

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.interface import Hypervisor

AGREE, FINDINGS, COULD_NOT_LOOK = 0, 1, 2


class Check(CernVMController):
    """Says where the database, the pools and the machines on the hosts do not agree; can mend most of it.

    Ends with 0 where they agree, with 1 where they do not, with 2 where a host did not answer.
    """

    name = Unicode("cernvm-controller check")
    description = Unicode(__doc__ or "")
    subcommands: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]
    repair = Bool(
        default_value=False, help="Mend what can be mended; no controller may run. Homes are never removed."
    ).tag(config=True)
    json = Bool(default_value=False, help="Answer with one JSON object.").tag(config=True)
    settle = Float(
        5, help="Seconds after which what did not agree is looked at again: what moves is no finding."
    ).tag(config=True)
    flags: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]
        **CernVMController.flags,
        "repair": ({"Check": {"repair": True}}, "Mend what can be mended; no controller may run."),
        "json": ({"Check": {"json": True}}, "Answer with one JSON object."),
    }

    async def run(self) -> None:
        """Look, mend if asked to, say what was found, and end with the code that says it to scripts.

        Raises
        ------
        StateError
            There is nothing to look at, or a controller runs and something shall be mended.
        """
        identity = known_hub_id(Path(self.hub_id_file))
        if identity is None:
            raise StateError(
                f"There is no {self.hub_id_file}: this hub never ran, or its state is elsewhere."
            )
        self._refuse_missing()
        self._specs = await every_host(self)
        async with AsyncExitStack() as stack:
            if self.repair:
                stack.enter_context(take_lock(self.state / "controller.lock"))
            hypervisors = await self._connect(stack)
            seen, findings = await self._look(identity, hypervisors)
            failed = await self._mend(identity, hypervisors, findings) if self.repair else []
        self._say(seen, findings, failed)
        if seen.silent:
            sys.exit(COULD_NOT_LOOK)
        if findings and (not self.repair or failed or not all(each.repair for each in findings)):
            sys.exit(FINDINGS)

    def _refuse_missing(self) -> None:
        """Refuse a database that is not there: to open one would make it."""
        url = make_url(self.database_url)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            raise StateError(f"There is no database {url.database}: start the controller, it makes one.")

    async def _connect(self, stack: AsyncExitStack) -> dict[str, Hypervisor]:
        hypervisors = {}
        for spec in self._specs:
            hypervisor = hypervisors[spec.name] = open_hypervisor(spec.uri)
            stack.push_async_callback(hypervisor.close)
            try:
                await hypervisor.open()
            except CernVMError:
                continue  # it is not alive then, and says why
        return hypervisors

    async def _look(self, identity: str, hypervisors: dict[str, Hypervisor]) -> tuple[Look, list[Finding]]:
        database = Database(self.database_url)
        try:

            async def once() -> Look:
                async with AsyncSession(database.reading) as session:
                    return await look(identity, session, self._specs, hypervisors, self.keep_unused_bases)

            seen = await once()
            findings = compare(seen.site)
            if findings:
                await asyncio.sleep(self.settle)
                seen = await once()
                findings = persistent(findings, compare(seen.site))
        except SQLAlchemyError as error:
            raise StateError(
                f"The database {database.name} cannot be read ({type(error).__name__}): it may be of another "
                "version of this program. Start the controller once, it says more."
            ) from None
        finally:
            await database.close()
        return seen, findings

    async def _mend(
        self, identity: str, hypervisors: dict[str, Hypervisor], findings: list[Finding]
    ) -> list[tuple[Finding, str]]:
        if not findings:
            return []
        store = await Store.open(self.database_url, identity)
        try:
            repository = self.repository(store)
            await repository.load()
            alive = {name: each for name, each in hypervisors.items() if each.alive}
            return await Repair(identity, Ledger(store), repository, self._specs, alive).mend(findings)
        finally:
            await store.close()

    def _say(self, seen: Look, findings: list[Finding], failed: list[tuple[Finding, str]]) -> None:
        reasons = {(finding.kind, finding.object): reason for finding, reason in failed}
        if self.json:
            found = [
                {
                    **msgspec.to_builtins(each),
                    "repaired": self._repaired(each, reasons),
                    "reason": reasons.get((each.kind, each.object), ""),
                }
                for each in findings
            ]
            answer = {"findings": found, "silent": dict(seen.silent), "under_way": seen.site.moving}
            print(json.dumps(answer))  # noqa: T201 - the answer to who asked on the command line
            return
        for each in findings:
            if self._repaired(each, reasons):
                what = f"Done: {each.repair}"
            elif not each.repair:
                what = "A person has to decide."
            else:
                reason = reasons.get((each.kind, each.object))
                what = f"Not done: {reason}" if reason else f"With --repair: {each.repair}"
            print(f"{each.kind}  {each.object}\n    {each.sentence}\n    {what}")  # noqa: T201
        for name, reason in seen.silent.items():
            print(f"The host {name} does not answer, what is on it is unknown: {reason}")  # noqa: T201
        if seen.site.moving:
            machines = ", ".join(seen.site.moving)
            print(f"Under way, and left out: {machines}. Look again when they are done.")  # noqa: T201
        if not findings and not seen.silent:
            print("The database and the hosts agree.")  # noqa: T201

    def _repaired(self, finding: Finding, reasons: dict[tuple[Any, str], str]) -> bool:
        return self.repair and bool(finding.repair) and (finding.kind, finding.object) not in reasons
