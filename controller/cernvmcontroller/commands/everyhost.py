"""All hosts of a hub, for commands: those of the configuration, and those that the database has besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from cernvmapi.errors import CernVMError
from cernvmcontroller.inventory import attached
from cernvmcontroller.report.database import reading
from cernvmcontroller.store.tables import HostRow
from cernvmcontroller.web.logs import logger

if TYPE_CHECKING:
    from cernvmcontroller.app import CernVMController
    from cernvmcontroller.inventory import HostSpec

log = logger(__name__)


async def every_host(app: CernVMController) -> list[HostSpec]:
    """Return the hosts; of a database that cannot be read, or is not there, none are known."""
    found = {spec.name: spec for spec in app.host_specs()}
    try:
        async with reading(app.database_url) as connection:
            query = select(HostRow.attached).where(HostRow.attached.is_not(None)).order_by(HostRow.id)
            requests = [each for each in await connection.scalars(query) if each is not None]
    except (SQLAlchemyError, OSError) as error:
        log.warning("hosts that were attached through the API are not known", reason=type(error).__name__)
        return list(found.values())
    for request in requests:
        try:
            found.setdefault(request.name, attached(request, app.defaults()))
        except CernVMError as error:
            log.warning("host left out", host=request.name, reason=error.detail)
    return list(found.values())
