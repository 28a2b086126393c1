"""The verbs on machines' definitions, for administrators."""

from __future__ import annotations

from typing import Any

from cernvmapi.definitions import Definition, MachineXml, XmlChange, XmlChanged
from cernvmapi.hardware import Hardware, HardwareChange
from cernvmapi.steps import pages, path
from cernvmapi.verb import Steps, verb
from cernvmapi.wire import Call


class DefinitionVerbs:
    """More of ``client.machines``."""

    @verb
    def xml(self, machine_id: str) -> Call[MachineXml]:
        """Return a machine's domain as libvirt has it."""
        return Call("GET", path("machines", machine_id, "xml"), MachineXml)

    @verb
    def put_xml(
        self,
        machine_id: str,
        xml: str,
        *,
        digest: str | None = None,
        comment: str = "",
        preview: bool = False,
        override: bool = False,
    ) -> Call[XmlChanged]:
        """Write a machine's definition; it counts from the next start on.

        Parameters
        ----------
        xml
            What ``xml()`` returned, changed.
        digest
            Of what was changed: another change in between is not overwritten. None: whatever there is.
        comment
            Why, for those who look back.
        preview
            Only say what would change, and which rules it breaks.
        override
            Although it breaks rules; for those whom the controller's option ``xml_experts`` names.

        Raises
        ------
        Invalid
            It cannot be read, breaks a rule, or libvirt does not accept it: the detail names the lines.
        Conflict
            The machine's state does not allow it, or somebody changed the definition meanwhile.
        """
        body = XmlChange(xml=xml, digest=digest, comment=comment, preview=preview, override=override)
        return Call("PUT", path("machines", machine_id, "xml"), XmlChanged, body=body)

    @verb
    def reset_xml(self, machine_id: str) -> Call[XmlChanged]:
        """Give a machine the hub's own definition back, from its next start on."""
        return Call("DELETE", path("machines", machine_id, "xml"), XmlChanged)

    @verb
    def definitions(self, machine_id: str) -> Steps[list[Definition]]:
        """Return the changes of a machine's definition, the newest first."""
        return pages(path("machines", machine_id, "definitions"), Definition, {})

    @verb
    def hardware(self, machine_id: str) -> Call[Hardware]:
        """Return what a machine is made of; `pending` is what counts from its next start on."""
        return Call("GET", path("machines", machine_id, "hardware"), Hardware)

    @verb
    def change_hardware(
        self, machine_id: str, request: HardwareChange | None = None, /, **fields: Any
    ) -> Call[Hardware]:
        """Let a machine have other hardware: a `HardwareChange`, or its fields as keywords.

        Cables are pulled and plugged at once, everything else counts from the machine's next start on.
        """
        if request is not None and fields:
            raise TypeError("Give a HardwareChange or its fields, not both.")
        body = request or HardwareChange(**fields)
        return Call("PATCH", path("machines", machine_id, "hardware"), Hardware, body=body)
