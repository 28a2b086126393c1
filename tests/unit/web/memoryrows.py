"""What the engine in memory keeps: machines, and how lists are cut into pages."""

from datetime import UTC, datetime

from cernvmapi.errors import Malformed
from cernvmapi.models import Machine, Page, Power, Status, Target

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def machine(machine_id, owner, **more):
    values = {
        "id": machine_id,
        "name": f"{owner}'s",
        "owner": owner,
        "server_name": None,
        "appliance": "default",
        "appliance_title": "CernVM",
        "flavor": "small",
        "vcpus": 1,
        "memory_mib": 1024,
        "disk_mib": 8192,
        "host": None,
        "uuid": "8f14e45f-0000-5000-8000-000000000000",
        "address": None,
        "status": Status.STOPPED,
        "target": Target.STOPPED,
        "power": Power.OFF,
        "actions": ["start", "delete"],
        "created": NOW,
        "changed": NOW,
    }
    return Machine(**(values | more))


def slice_of(items, limit, cursor, event_id=0):
    try:
        start = int(cursor or 0)
    except ValueError:
        raise Malformed("This is no page's cursor.") from None
    end = start + limit
    following = str(end) if end < len(items) else None
    return Page(items=items[start:end], total=len(items), next=following, event_id=event_id)
