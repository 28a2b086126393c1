"""What a site can turn about machines that go from host to host."""

from __future__ import annotations

from traitlets import Bool, List, Unicode
from traitlets.config import Configurable


class MovingOptions(Configurable):
    """Options of the controller; they are set as ``c.CernVMController.…``."""

    moves_encrypted = Bool(
        default_value=True,
        help="Hosts encrypt what they hand over to each other: memory, and disks that they do not share. "
        "Their QEMU needs certificates for that. Only where the network between the hosts is theirs alone "
        "it may be False.",
    ).tag(config=True)
    fence_command: List[str] = List(
        Unicode(),
        help="A program and its arguments, `{host}` for the host's name, that switches a host off for sure "
        "and ends with 0 only when it is. It is run, without a shell, before the machines of a host that "
        "does not answer are started elsewhere. Default: none; then an administrator has to say that the "
        "host is off.",
    ).tag(config=True)
