"""What libvirt says of a connection that cannot be made, in a sentence that says what to do."""

from __future__ import annotations

import re

_SENTENCES = {
    r"Failed to verify peer's certificate": (
        "its certificate is not accepted: it expired, is for another name or address than the URI's, or is "
        "signed by an authority that the controller's cacert.pem does not have. Renew it there, or correct "
        "cacert.pem or the URI"
    ),
    r"Our own certificate (?P<file>.+) failed validation against (?P<authority>.+?): ": (
        "the controller's certificate {file} is not signed by the authority in {authority}. Put a pair there "
        "that belongs together"
    ),
    r"client certificate (?P<file>.+) has expired": "the controller's certificate {file} expired. Renew it",
    r"Cannot read \S+ certificate '(?P<file>.+)': (?P<reason>.+)": (
        "the controller cannot read {file} ({reason}). Put the certificates there, or name their folder in "
        "the URI: ?pkipath="
    ),
    r"unable to connect to server at '.+?': (?P<reason>.+)": (
        "nothing answers at its address ({reason}). Start the host and its libvirt daemon, and see that its "
        "firewall lets the controller in"
    ),
    r"Failed to connect socket to '(?P<file>.+?)': (?P<reason>.+)": (
        "its libvirt daemon does not listen on {file} ({reason}). Start it"
    ),
}
"""By what libvirt 9 says; its own texts, untranslated."""


def explain(words: str) -> str:
    """Return libvirt's words about a connection as the reason of a sentence; unknown ones as they are."""
    for pattern, sentence in _SENTENCES.items():
        found = re.search(pattern, words)
        if found is not None:
            return sentence.format(**found.groupdict())
    return words


def shown(uri: str) -> str:
    """Return a connection URI without what a list must not show: account, password, paths of keys."""
    scheme, _, rest = uri.partition("://")
    place, _, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}/{path}"
