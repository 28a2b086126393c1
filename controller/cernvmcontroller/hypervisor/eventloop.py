"""Libvirt's own event loop, in one daemon thread for the whole process.

Libvirt's default implementation is safe to use from any thread. The one in ``libvirtaio`` is not, and would
run libvirt's input and output in the controller's event loop, where it may block.
"""

from __future__ import annotations

import threading

import libvirt

_lock = threading.Lock()
_thread: threading.Thread | None = None


def ensure() -> None:
    """Start the event loop, once; must come before the first connection is opened."""
    global _thread  # noqa: PLW0603 - libvirt allows one event loop a process
    with _lock:
        if _thread is not None:
            return
        libvirt.virEventRegisterDefaultImpl()
        # Errors come as exceptions; without this libvirt prints them as well.
        libvirt.registerErrorHandler(_quiet, None)
        _thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
        _thread.start()


def _run() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _quiet(_context: object, _error: object) -> None:
    return
