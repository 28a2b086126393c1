"""Whether a machine's notebook server answers where the hub will look for it: at its address, from outside.

The agent's own look proves that something listens in the machine. Whether the network brings anybody there,
and whether it is the server of this session, shows only from outside. What answers is hostile input: a few
bytes of it are read, and nothing is sent that must stay secret.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cernvmapi.models import Session

KNOCK_WITHIN = 5.0
"""Seconds that one attempt may take."""

_NOT_FOUND = 404
_SERVER_ERROR = 500


class Unreachable(Exception):
    """Nobody answers at the address, yet; the sentence says how it is not answered."""


class Stranger(Exception):
    """What answers is not the notebook server of the session; the sentence says why."""


async def knock(address: str, port: int, session: Session | None) -> None:
    """Look once for the notebook server of a session.

    Parameters
    ----------
    address, port
        Of the server, on the machines' network.
    session
        What the server was given; None where that is not known (any more): then it is enough that the port is
        open.

    Raises
    ------
    Unreachable
        The port is not open, or nothing comes back: perhaps not yet.
    Stranger
        Something answers that is not this server.
    """
    env = session.env if session else {}
    secure = env.get("JUPYTERHUB_SERVICE_URL", "").startswith("https:") or bool(
        env.get("JUPYTERHUB_SSL_KEYFILE")
    )
    try:
        async with asyncio.timeout(KNOCK_WITHIN):
            if session is None:
                await _open(address, port)
            elif secure:
                await _shake_hands(address, port, _certificate(session))
            else:
                await _ask(address, port, env.get("JUPYTERHUB_SERVICE_PREFIX", "/"))
    except TimeoutError:
        raise Unreachable("nothing comes back") from None
    except OSError as error:
        words = os.strerror(error.errno) if error.errno else type(error).__name__
        raise Unreachable(words.lower()) from None


async def _open(address: str, port: int) -> None:
    _, writer = await asyncio.open_connection(address, port)
    writer.transport.abort()


async def _shake_hands(address: str, port: int, expected: bytes | None) -> None:
    """Compare the certificate that is shown with the one that the server was given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(address, port)
    try:
        await writer.start_tls(context)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    except ConnectionResetError:
        return  # before TLS 1.3 a server that wants our certificate ends it here
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            return  # and says so, if it is in time
        raise Stranger("it does not speak TLS, as the notebook server does") from None
    finally:
        writer.transport.abort()
    if expected is not None and shown != expected:
        raise Stranger("it shows another certificate than the notebook server was given")


async def _ask(address: str, port: int, path: str) -> None:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        question = f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n"
        writer.write(question.encode("latin-1", "replace"))
        answer = await reader.read(64)
    finally:
        writer.transport.abort()
    if not answer:
        raise Unreachable("the connection is closed at once")
    words = answer.split(b" ", 2)
    if not words[0].startswith(b"HTTP/1.") or len(words) == 1 or not words[1][:3].isdigit():
        raise Stranger("it does not speak HTTP")
    code = int(words[1][:3])
    if code == _NOT_FOUND:
        raise Stranger(f"it does not know the path {path}, which the notebook server serves")
    if code >= _SERVER_ERROR:
        raise Stranger(f"it answers with the error {code}")


def _certificate(session: Session) -> bytes | None:
    """Return the certificate that the server was given (the first of its chain), in DER."""
    path = session.env.get("JUPYTERHUB_SSL_CERTFILE")
    text = next((file.content for file in session.files if file.path == path), "")
    first, end, _ = text.partition(ssl.PEM_FOOTER)
    if not end:
        return None
    try:
        return ssl.PEM_cert_to_DER_cert(first[first.find(ssl.PEM_HEADER) :] + end)
    except ValueError:
        return None
