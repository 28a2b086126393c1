"""What a notebook server needs and nobody else may know: its environment and its files.

It goes to the controller once, which hands it to the machine over the agent channel.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cernvmapi.errors import Invalid
from cernvmapi.models import Session, SessionFile

if TYPE_CHECKING:
    from collections.abc import Mapping

GUEST_KEY = "/run/cernvmhub/tls/key.pem"
GUEST_CERT = "/run/cernvmhub/tls/cert.pem"
GUEST_CA = "/run/cernvmhub/tls/ca.pem"
GUEST_CONTROLLER_CA = "/run/cernvmhub/controller-ca.crt"

GUEST_CERT_PATHS = {"keyfile": GUEST_KEY, "certfile": GUEST_CERT, "cafile": GUEST_CA}
"""In the shape of `Spawner.cert_paths`."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def session(
    *,
    command: list[str],
    env: Mapping[str, Any],
    port: int,
    certificates: Mapping[str, str] | None = None,
    controller_ca: str = "",
) -> Session:
    """Return the session of a notebook server.

    Parameters
    ----------
    command
        The server's program and arguments, without a shell.
    env
        Its environment; values become text, those that are None are left out.
    port
        Where it listens, in the machine.
    certificates
        Contents of ``keyfile``, ``certfile`` and ``cafile`` in PEM, with the hub's internal TLS.
    controller_ca
        Certificate of the controller's authority in PEM.

    Raises
    ------
    Invalid
        If a variable cannot be one; its value is not in the sentence.
    """
    variables: dict[str, str] = {}
    for name, value in env.items():
        if value is None:
            continue
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name) or "\0" in str(value):
            raise Invalid(
                f"The environment variable {str(name)[:80]!r} cannot be set: a name has letters, digits and "
                "underscores, a value no null character. Ask the administrator to correct `environment`."
            )
        variables[name] = str(value)
    files = []
    if certificates:
        files += [
            SessionFile(path=path, content=certificates[name], mode=0o400)
            for name, path in GUEST_CERT_PATHS.items()
        ]
    if controller_ca:
        files.append(SessionFile(path=GUEST_CONTROLLER_CA, content=controller_ca, mode=0o444))
    return Session(command=command, env=variables, files=files, port=port)
