"""A Jupyter Server extension: the same-origin door through which a notebook's page asks the controller."""

from cernvmextension.app import CernVMExtension

__all__ = ["CernVMExtension"]


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    return [{"module": "cernvmextension", "app": CernVMExtension}]
