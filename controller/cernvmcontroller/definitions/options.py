"""What a site can turn about definitions that administrators write."""

from __future__ import annotations

from traitlets import Set, Unicode
from traitlets.config import Configurable


class DefinitionOptions(Configurable):
    """Options of the controller; they are set as ``c.CernVMController.…``."""

    xml_experts = Set(
        Unicode(),
        help="Names of administrators who may write definitions of machines that break the rules (files and "
        "devices of the host, arguments for QEMU, less isolation), when they say so. Whoever may do that "
        "owns the hosts. Default: nobody.",
    ).tag(config=True)
