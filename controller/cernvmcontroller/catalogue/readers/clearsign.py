"""OpenPGP's cleartext signatures (RFC 9580, section 7): the text in them; the signature is not checked."""

from __future__ import annotations

_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----"
_END = "-----BEGIN PGP SIGNATURE-----"


def is_signed(text: str) -> bool:
    """Return whether a text is in a cleartext signature."""
    return text.lstrip().startswith(_BEGIN)


def signed_text(text: str) -> str:
    """Return what was signed; a text without a signature as it is.

    Only what is inside is returned: what stands before or behind it was signed by nobody.
    """
    if not is_signed(text):
        return text
    lines = iter(text.lstrip().splitlines()[1:])
    for header in lines:
        if not header.strip():
            break
    inside = []
    for line in lines:
        if line.rstrip() == _END:
            break
        inside.append(line.removeprefix("- "))
    return "\n".join(inside)
