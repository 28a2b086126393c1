"""All hosts of a hub, for commands: those of the configuration, and those that the database has besides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url, select
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
    if not _exists(app.database_url):
        return list(found.values())  # nothing was attached yet
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


def _exists(database_url: str) -> bool:
    url = make_url(database_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()
