"""Libvirt's errors as errors of the API."""

from __future__ import annotations

import libvirt

from cernvmapi.errors import CernVMError, HostUnreachable, HypervisorFailed, NotFound
from cernvmcontroller.hypervisor.interface import WrongState

_NOT_FOUND = frozenset(
    {
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_NO_NETWORK,
        libvirt.VIR_ERR_NO_STORAGE_POOL,
        libvirt.VIR_ERR_NO_STORAGE_VOL,
        libvirt.VIR_ERR_NO_NWFILTER,
        libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT,
    }
)

_UNREACHABLE = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_GNUTLS_ERROR,
    }
)

WRONG_STATE = frozenset({libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_INTERNAL_ERROR})
"""What a verb answers in the wrong state: QEMU's driver the first, the test driver the second."""


def is_not_found(error: libvirt.libvirtError) -> bool:
    """Say whether the object is not there."""
    return error.get_error_code() in _NOT_FOUND


def is_connection_lost(error: libvirt.libvirtError) -> bool:
    """Say whether the error is about the connection and not about what was asked."""
    code, domain = error.get_error_code(), error.get_error_domain()
    if code in _UNREACHABLE:
        return True
    # "client socket is closed", "Cannot recv data", "End of file while reading data": of the RPC layer.
    rpc = domain in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)
    return rpc and code in (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_SYSTEM_ERROR)


def translate(error: libvirt.libvirtError) -> CernVMError:
    """Return the API's error for one of libvirt's, with libvirt's words."""
    words = str(error)
    if is_not_found(error):
        return NotFound(words)
    if is_connection_lost(error):
        return HostUnreachable(words)
    if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
        return WrongState(words)
    return HypervisorFailed(words)
