"""Libvirt's words about a connection that cannot be made, in sentences that say what to do."""

from __future__ import annotations

import libvirt
import pytest

from cernvmcontroller.hypervisor.refusal import explain


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("no connection driver available for xen:///", "Install its driver there"),
        (
            "unsupported configuration: libvirt was built without the 'hyperv' driver",
            "Install its driver there",
        ),
        ("internal error: vmrun utility is missing", "does not find the program vmrun"),
        ("invalid argument: Missing authentication credentials", "an account and a password"),
        (
            "Cannot recv data: Host key verification failed.: Connection reset by peer",
            "its SSH host key is not the one that the controller knows",
        ),
        (
            "Cannot recv data: root@node7: Permission denied (publickey,password).: Connection reset by peer",
            "does not take the controller's SSH key",
        ),
        (
            "Cannot recv data: ssh: Could not resolve hostname node7: Name or service not known: Connection",
            "the name node7 is not known",
        ),
        (
            "Cannot recv data: ssh: connect to host 192.0.2.1 port 22: Connection refused: Connection reset",
            "nothing answers at its SSH port 22 (Connection refused)",
        ),
        ("something that nobody saw before", "something that nobody saw before"),
    ],
)
def test_libvirts_words_are_explained(words: str, sentence: str) -> None:
    assert sentence in explain(words)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("nosuch:///", "libvirt on the controller's machine cannot open such a connection"),
        ("qemu+ssh://127.0.0.1:1/system?no_tty=1", "nothing answers at its SSH port 1 (Connection refused)"),
        ("qemu+libssh2://127.0.0.1:1/system", "nothing answers at its address (Connection refused)"),
    ],
)
def test_libvirt_here_says_what_is_explained(uri: str, sentence: str) -> None:
    with pytest.raises(libvirt.libvirtError) as caught:
        libvirt.open(uri)
    assert sentence in explain(str(caught.value))
