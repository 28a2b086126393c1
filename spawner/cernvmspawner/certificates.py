"""Certificates of notebook servers, for the hub's internal TLS.

JupyterHub makes them before a spawner starts, with the user's name as common name. Here the address is known
only once the controller has placed the machine, and a common name has room for 64 characters (RFC 5280, upper
bounds) where user names may be longer: so they are made inside a start and named after the machine.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from certipy.certipy import Certipy

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTHORITY = "notebooks-ca"
"""JupyterHub's component that signs the certificates of notebook servers."""

YEARS = 1
"""How long a machine may run, and how long its key is of use to whoever kept it."""

REGISTER = "certipy.json"
"""Certipy's own default, which JupyterHub uses."""


async def issue(store: str, name: str, alt_names: Sequence[str], trust_bundle: str) -> dict[str, str]:
    """Return the contents, in PEM, of ``keyfile``, ``certfile`` and ``cafile`` of a new certificate.

    Nothing of it stays on the hub's disk: the machine is the only one that needs the key.

    Parameters
    ----------
    store
        JupyterHub's ``internal_certs_location``.
    name
        The common name.
    alt_names
        ``IP:<address>``, ``DNS:<name>``.
    trust_bundle
        File with the authorities that the notebook server trusts.
    """
    return await asyncio.to_thread(_issue, store, name, list(alt_names), trust_bundle)


def _issue(store: str, name: str, alt_names: list[str], trust_bundle: str) -> dict[str, str]:
    # Certipy keeps what it makes. A copy of its register in a folder of its own lets it sign with the hub's
    # authority, side by side with other starts, and then forgets.
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(Path(store, REGISTER), folder)
        record = Certipy(store_dir=folder, store_file=REGISTER).create_signed_pair(
            name, AUTHORITY, years=YEARS, alt_names=alt_names, overwrite=True
        )
        return {
            "keyfile": Path(record["files"]["key"]).read_text(),
            "certfile": Path(record["files"]["cert"]).read_text(),
            "cafile": Path(trust_bundle).read_text(),
        }
