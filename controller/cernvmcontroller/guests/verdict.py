"""What an agent says that ends a start, as errors for the person who waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.errors import ProtocolMismatch, StartFailed
from cernvmcontroller.consoles.serial import readable
from cernvmcontroller.guests import agentwire as wire

if TYPE_CHECKING:
    from cernvmcontroller.guests.agentlink import AgentLink


def refuse_mismatch(link: AgentLink, appliance: str) -> None:
    """Raise where the agent speaks another version of the protocol, or failed before it had a session.

    Parameters
    ----------
    appliance
        What people call the appliance.
    """
    if link.mismatch is not None:
        raise ProtocolMismatch(
            f"The agent in the appliance {appliance} speaks version {link.mismatch} of the protocol and this "
            f"controller version {wire.PROTOCOL}. Choose another appliance, or ask an administrator to "
            "update this one."
        )
    if link.failed is not None and link.failed.session is None:
        raise _refusal(link.failed)


def refuse_ended(link: AgentLink) -> None:
    """Raise `StartFailed` when the agent says that there will be no server, or that it ended."""
    if link.failed is not None or link.state == "failed":
        raise _refusal(link.failed)
    if link.exited is not None:
        raise StartFailed(
            f"The notebook server ended with code {link.exited.code} while it started. "
            "The end of its log says why.",
            errors=_tail(link.exited.log_tail),
        )


def _refusal(failed: wire.Failed | None) -> StartFailed:
    """Return what the agent says went wrong, as an error."""
    reason = readable(failed.reason.encode()).strip() if failed else ""
    return StartFailed(
        f"The machine is up and could not start your notebook server: {reason or 'its agent gave no reason'}",
        errors=_tail(failed.log_tail if failed else ""),
    )


def _tail(text: str) -> list[dict[str, str]]:
    return [{"log_tail": readable(text.encode())}] if text else []
