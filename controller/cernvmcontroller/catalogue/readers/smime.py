"""S/MIME (RFC 8551): the text that is signed, and where there is an authority, who signed it.

The signature is checked by ``openssl cms``: the ``cryptography`` package signs and decrypts S/MIME but cannot
verify it. What is read then is what openssl found signed, never another part of the same message.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from cernvmapi.errors import SourceFailed
from cernvmcontroller.catalogue.readers.text import word

_SECONDS = 15
_WHY = re.compile(r"Verify error:\s*([^\n]+)|\berror:[^:\n]*:[^:\n]*:[^:\n]*:([^:\n]+)")
"""Why, in openssl's lines of errors."""
_MESSAGE = re.compile(
    rb"\s*(MIME-Version|Content-Type|Content-Disposition|From|To|Subject)\s*:", re.IGNORECASE
)


def is_message(content: bytes) -> bool:
    """Return whether it begins as a MIME message does."""
    return _MESSAGE.match(content) is not None


def unverified(content: bytes) -> bytes:
    """Return the text of a message, signed or not, without a look at its signature.

    Raises
    ------
    SourceFailed
        There is none that can be read.
    """
    message = message_from_bytes(content.lstrip(), policy=policy.default)
    if message.get_content_type() == "multipart/signed" and message.is_multipart():
        part = next(iter(message.iter_parts()), None)
    else:
        part = message
    if isinstance(part, EmailMessage) and not part.is_multipart():
        if part.get_content_type() in {"application/pkcs7-mime", "application/x-pkcs7-mime"}:
            return _openssl(content, ["-noverify"])[0]
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            return payload
    raise SourceFailed("This is a MIME message without a text that could be read.")


def verified(content: bytes, authority: str) -> tuple[bytes, str]:
    """Return what was signed, and the subject of the signer's certificate.

    Parameters
    ----------
    authority
        Certificates in PEM form; the signer's must lead to one of them.

    Raises
    ------
    SourceFailed
        It is not signed, or not by whom it should be.
    """
    with tempfile.TemporaryDirectory() as folder:
        trusted, signer = Path(folder, "authority.pem"), Path(folder, "signer.pem")
        trusted.write_text(authority)
        only = ["-CAfile", str(trusted), "-no-CApath", "-no-CAstore"]  # not whom the system trusts for TLS
        text, why = _openssl(content, [*only, "-purpose", "any", "-signer", str(signer)])
        if why:
            raise SourceFailed(
                f"The feed's signature could not be verified ({why}). What it said before stays; ask its "
                "publisher, or give the right authority."
            )
        named = subprocess.run(  # noqa: S603
            ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", str(signer)],  # noqa: S607
            capture_output=True, text=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
    if is_message(text):
        text = unverified(text)
    return text, word(named.stdout.removeprefix("subject=")) or "unknown"


def _openssl(content: bytes, options: list[str]) -> tuple[bytes, str]:
    """Return what is signed, and why the signature is not good, where it is not."""
    try:
        done = subprocess.run(  # noqa: S603
            ["openssl", "cms", "-verify", "-inform", "SMIME", *options],  # noqa: S607
            input=content.lstrip(), capture_output=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
    except FileNotFoundError:
        raise SourceFailed("The program openssl, which checks signatures, is not installed.") from None
    if done.returncode == 0:
        return done.stdout, ""
    said = done.stderr.decode(errors="replace")
    found = _WHY.search(said)
    return b"", word(found[1] or found[2] if found else "it cannot be read", 200)
