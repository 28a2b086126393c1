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
        "the controller cannot read {file} ({reason}). Put the certificates there, or name their folder: as "
        "credentials, or in a configured URI by ?pkipath="
    ),
    r"unable to connect to server at '.+?': (?P<reason>.+)": (
        "nothing answers at its address ({reason}). Start the host and its libvirt daemon, and see that its "
        "firewall lets the controller in"
    ),
    r"Failed to connect socket to '(?P<file>.+?)': (?P<reason>.+)": (
        "its libvirt daemon does not listen on {file} ({reason}). Start it"
    ),
    r"no connection driver available for|libvirt was built without the .+ driver": (
        "libvirt on the controller's machine cannot open such a connection. Install its driver there (a "
        "package of libvirt's), or correct the URI"
    ),
    r"(?P<program>\w+) utility is missing": (
        "libvirt on the controller's machine does not find the program {program}, which it drives. Install "
        "it there"
    ),
    r"Missing authentication credentials|authentication (?:failed|cancelled)": (
        "it asks for an account and a password. Put them into the file auth.conf of its credentials"
    ),
    r"Host key verification failed": (
        "its SSH host key is not the one that the controller knows, or it knows none. Compare it, and put it "
        "into the known_hosts of the controller's account, or of its credentials"
    ),
    r"Permission denied \((?P<methods>[a-z,-]+)": (
        "it does not take the controller's SSH key. Put the public key into the authorized_keys of the "
        "account that the URI names"
    ),
    r"Could not resolve hostname (?P<host>[^:]+)": (
        "the name {host} is not known to the controller's machine. Correct the URI, or its name service"
    ),
    r"ssh: connect to host (?P<host>\S+) port (?P<port>\d+): (?P<reason>[^:]+)": (
        "nothing answers at its SSH port {port} ({reason}). Start the host and its SSH server, and see that "
        "its firewall lets the controller in"
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
