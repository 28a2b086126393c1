"""Finds out whether the notebook server answers, without the cost of a TLS library."""

from __future__ import annotations

import socket

CLIENT_HELLO = bytes.fromhex(
    "1603010053"  # record: handshake, 83 bytes
    "0100004f0303"  # ClientHello, 79 bytes, TLS 1.2
    + "43"
    * 32  # random; this connection is not going to be used
    + "00"  # no session id
    "000ac02fc030c02bc02c00ff"  # four ECDHE-GCM suites, secure renegotiation
    "0100"  # no compression
    "001c"  # extensions, 28 bytes
    "000a00080006001d00170018"  # groups: x25519, P-256, P-384
    "000d000c000a04030804040105010806"  # signature algorithms
)
"""The beginning of a handshake: whoever serves TLS answers it, with a ServerHello or an alert (RFC 5246)."""


class Probe:
    """One look at a server that may not listen yet, or listen and not serve yet.

    The connection is kept until something comes back: it waits in the server's queue and costs it nothing.
    """

    def __init__(self, address: str, port: int, *, tls: bool, path: str = "/api") -> None:
        self._target = (address, port)
        self._question = (
            CLIENT_HELLO
            if tls
            else f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n".encode()
        )
        self._socket: socket.socket | None = None

    def answered(self) -> bool:
        """Whether the server has answered; never waits for it."""
        try:
            if self._socket is None:
                # Within the machine this is done or refused at once.
                self._socket = socket.create_connection(self._target, timeout=0.5)
                self._socket.sendall(self._question)
                self._socket.settimeout(0)
            data = self._socket.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        self.close()
        return bool(data)

    def close(self) -> None:
        """Give up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def of_server(env: dict[str, str], port: int) -> Probe:
    """Make the probe for a server, from what JupyterHub tells it of its address in the environment."""
    url = env.get("JUPYTERHUB_SERVICE_URL", "")
    scheme, _, rest = url.partition("://")
    address = rest.partition("/")[0].rpartition(":")[0].strip("[]")
    if address in {"", "0.0.0.0", "::", "*"}:  # noqa: S104 - compared, not bound
        address = "127.0.0.1"
    prefix = env.get("JUPYTERHUB_SERVICE_PREFIX", "/").rstrip("/")
    tls = scheme == "https" or bool(env.get("JUPYTERHUB_SSL_KEYFILE"))
    return Probe(address, port, tls=tls, path=f"{prefix}/api")
