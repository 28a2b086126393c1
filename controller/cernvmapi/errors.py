"""The errors of the API: a small tree, each with a stable code, an HTTP status and a sentence that helps.

The controller raises them, the web layer turns them into problem details (RFC 9457), the clients raise them
again.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cernvmapi.models import Problem


class CernVMError(Exception):
    """Base of all errors of the API.

    Parameters
    ----------
    detail
        A sentence for the person who reads it; it says what to do next.
    errors
        One entry a fault, where a request has several.

    Attributes
    ----------
    request_id
        Where the error came over the wire: the request, as the controller's log names it.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.request_id: str | None = None

    def problem(self, instance: str | None = None) -> Problem:
        """Return the problem details of this error."""
        return Problem(
            type=f"urn:cernvmhub:problem:{self.code}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            instance=instance,
            errors=self.errors,
        )


class Invalid(CernVMError):
    """The request cannot be understood or asks for what cannot be."""

    code, status, title = "invalid", 422, "Invalid request"


class Malformed(CernVMError):
    """The request's body or parameters are not of the described form."""

    code, status, title = "malformed", 400, "Malformed request"


class Unauthenticated(CernVMError):
    """Nobody knows who asks."""

    code, status, title = "unauthenticated", 401, "Not logged in"


class Forbidden(CernVMError):
    """Who asks may not do this."""

    code, status, title = "forbidden", 403, "Not allowed"


class NotFound(CernVMError):
    """There is no such thing, or none that who asks may see."""

    code, status, title = "not-found", 404, "Not found"


class MethodNotAllowed(CernVMError):
    """The resource exists and has no such verb."""

    code, status, title = "method-not-allowed", 405, "Method not allowed"


class Conflict(CernVMError):
    """The thing is in a state that does not allow this."""

    code, status, title = "conflict", 409, "Not possible in this state"


class ForeignHome(CernVMError):
    """The home of that name belongs to somebody else: an earlier user of the same name, as a rule."""

    code, status, title = "foreign-home", 409, "The home is somebody else's"


class TooLarge(CernVMError):
    """The request is larger than the controller reads."""

    code, status, title = "too-large", 413, "Request too large"


class NoRoom(CernVMError):
    """No host can take the machine; the detail says which rule excluded which hosts."""

    code, status, title = "no-room", 409, "No room for this machine"


class SourceFailed(CernVMError):
    """What was to be fetched from elsewhere is out of reach, not allowed or not understood."""

    code, status, title = "source-failed", 502, "Source not usable"


class Busy(CernVMError):
    """Somebody else holds what is needed; the same request may pass later."""

    code, status, title = "busy", 503, "Busy"


class StoreUnavailable(CernVMError):
    """The controller's database cannot be used; machines run on, and nothing of the request was done."""

    code, status, title = "store-unavailable", 503, "The database cannot be used"


class HubUnreachable(CernVMError):
    """JupyterHub does not answer, so that nobody's rights are known."""

    code, status, title = "hub-unreachable", 503, "JupyterHub does not answer"


class HostUnreachable(CernVMError):
    """A host does not answer; what runs there is unknown."""

    code, status, title = "host-unreachable", 503, "Host does not answer"


class HypervisorFailed(CernVMError):
    """Libvirt refused or failed; the detail has its words."""

    code, status, title = "hypervisor-failed", 502, "The hypervisor refused"


class StartFailed(CernVMError):
    """The machine did not come up; the detail says in which phase, and why."""

    code, status, title = "start-failed", 500, "The machine did not start"


class ProtocolMismatch(CernVMError):
    """The agent in the machine and the controller do not speak the same protocol version."""

    code, status, title = "protocol-mismatch", 500, "The appliance does not fit this controller"


class ControllerUnreachable(CernVMError):
    """Raised by clients only: the controller does not answer."""

    code, status, title = "controller-unreachable", 503, "The controller does not answer"


_TREE: tuple[type[CernVMError], ...] = (CernVMError, *CernVMError.__subclasses__())
_BY_CODE = {cls.code: cls for cls in _TREE}


def error_from(problem: Problem) -> CernVMError:
    """Return the exception that `problem` describes; an unknown code becomes the base class."""
    cls = _BY_CODE.get(problem.code, CernVMError)
    error = cls(problem.detail, errors=problem.errors)
    error.request_id = problem.instance
    return error
