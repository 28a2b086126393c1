"""The objects that go over the wire, defined once.

The controller encodes them, the clients decode them and the OpenAPI document is generated from them.
Objects that a client sends (``*Create``, `Session`) refuse unknown fields; objects that the controller sends
tolerate them, so that an older client reads a newer controller.

Sizes are in MiB or bytes, as each field's name or description says; instants are UTC.
"""

from cernvmapi.models.appliances import Appliance, ApplianceCreate, Flavor, Hardware, Origin
from cernvmapi.models.base import (
    API_PREFIX,
    CpuFeature,
    EnvName,
    Label,
    Labels,
    Name,
    OwnerId,
    Page,
    Problem,
    Received,
    Sent,
    Slug,
    T,
    encode,
)
from cernvmapi.models.feeds import (
    CatalogueEntry,
    Certificates,
    Enclosure,
    Entry,
    Feed,
    FeedCreate,
    FeedKind,
    FeedUpdate,
    Seconds,
    Url,
)
from cernvmapi.models.health import ComponentHealth, Health
from cernvmapi.models.hosts import Host, Level, Network, Pool
from cernvmapi.models.machines import (
    Console,
    Machine,
    MachineChange,
    MachineCreate,
    MachineLock,
    MachineSize,
    MachineStart,
    Phase,
    PhaseMark,
    Power,
    Session,
    SessionFile,
    Status,
    Target,
)
from cernvmapi.models.records import AuditRecord, Event, Operation, OperationStatus
from cernvmapi.models.volumes import Volume, VolumeChange, VolumeKind

__all__ = [
    "API_PREFIX",
    "Appliance",
    "ApplianceCreate",
    "AuditRecord",
    "CatalogueEntry",
    "Certificates",
    "ComponentHealth",
    "Console",
    "CpuFeature",
    "Enclosure",
    "Entry",
    "EnvName",
    "Event",
    "Feed",
    "FeedCreate",
    "FeedKind",
    "FeedUpdate",
    "Flavor",
    "Hardware",
    "Health",
    "Host",
    "Label",
    "Labels",
    "Level",
    "Machine",
    "MachineChange",
    "MachineCreate",
    "MachineLock",
    "MachineSize",
    "MachineStart",
    "Name",
    "Network",
    "Operation",
    "OperationStatus",
    "Origin",
    "OwnerId",
    "Page",
    "Phase",
    "PhaseMark",
    "Pool",
    "Power",
    "Problem",
    "Received",
    "Seconds",
    "Sent",
    "Session",
    "SessionFile",
    "Slug",
    "Status",
    "T",
    "Target",
    "Url",
    "Volume",
    "VolumeChange",
    "VolumeKind",
    "encode",
]
