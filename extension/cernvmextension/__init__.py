"""A Jupyter Server extension for a server in a machine of one's own.

It is the same-origin door through which a notebook's page asks the controller, and it keeps a server whose
kernel computes from looking idle.
"""

from cernvmextension.app import CernVMExtension

__all__ = ["CernVMExtension"]


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    return [{"module": "cernvmextension", "app": CernVMExtension}]
