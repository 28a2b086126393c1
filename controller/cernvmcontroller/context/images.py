"""Contexts as small ISO 9660 images: NoCloud (label ``cidata``) and ConfigDrive version 2 (``config-2``)."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import yaml
from pycdlib import PyCdlib

from cernvmapi.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cernvmcontroller.context.compose import Context


def nocloud(context: Context) -> bytes:
    """Return the NoCloud image: ``user-data``, ``meta-data``, ``network-config``.

    See cloud-init's "NoCloud" data source.
    """
    return _iso(
        "cidata",
        {
            "user-data": context.render_user_data(),
            "meta-data": yaml.safe_dump(context.meta_data()),
            "network-config": yaml.safe_dump(context.network_config()),
        },
    )


def configdrive(context: Context) -> bytes:
    """Return the ConfigDrive image, in the layout that CernVM's bootloader and cloud-init both read.

    See cloud-init's "Config drive" data source and libcernvm's context ISO.
    """
    user_data = context.render_user_data()
    meta_data = {"uuid": context.instance_id, "hostname": context.hostname, "name": context.hostname}
    return _iso(
        "config-2",
        {
            "openstack/latest/user_data": user_data,
            "openstack/latest/meta_data.json": json.dumps(meta_data, sort_keys=True),
            "openstack/latest/network_data.json": json.dumps(_network_data(context), sort_keys=True),
            "ec2/latest/user-data": user_data,
            "ec2/latest/meta-data.json": json.dumps(
                {"instance-id": context.instance_id, "local-hostname": context.hostname}, sort_keys=True
            ),
        },
    )


_DIALECTS: dict[str, Callable[[Context], bytes]] = {"nocloud": nocloud, "configdrive": configdrive}


def seed_image(context: Context, dialects: Sequence[str]) -> bytes:
    """Return the image in the first of the appliance's dialects that we speak.

    Raises
    ------
    Invalid
        None of them is known.
    """
    for dialect in dialects:
        if dialect in _DIALECTS:
            return _DIALECTS[dialect](context)
    raise Invalid(
        f"The appliance reads its context as {', '.join(dialects) or 'nothing'}; "
        f"the hub writes {' and '.join(_DIALECTS)}."
    )


def _network_data(context: Context) -> dict[str, Any]:
    """Return OpenStack's ``network_data.json`` with one static network."""
    network = context.network
    if network is None:
        return {"links": [], "networks": [], "services": []}
    netmask = ".".join(str((0xFFFFFFFF << (32 - network.prefix) >> shift) & 0xFF) for shift in (24, 16, 8, 0))
    return {
        "links": [{"id": "machine", "type": "phy", "ethernet_mac_address": network.mac}],
        "networks": [
            {
                "id": "machine",
                "link": "machine",
                "type": "ipv4",
                "ip_address": network.address,
                "netmask": netmask,
                "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": network.gateway}],  # noqa: S104
            }
        ],
        "services": [{"type": "dns", "address": server} for server in network.nameservers],
    }


def _iso(label: str, files: Mapping[str, str]) -> bytes:
    """Return an ISO 9660 image with Joliet and Rock Ridge names."""
    iso = PyCdlib()
    iso.new(interchange_level=3, vol_ident=label, joliet=3, rock_ridge="1.09")
    made: dict[str, str] = {"": ""}
    for number, (path, text) in enumerate(files.items()):
        *folders, name = path.split("/")
        parent = ""
        for folder in folders:
            child = f"{parent}/{folder}"
            if child not in made:
                made[child] = f"{made[parent]}/D{len(made):07d}"
                iso.add_directory(made[child], rr_name=folder, joliet_path=child)
            parent = child
        data = text.encode()
        iso.add_fp(
            BytesIO(data),
            len(data),
            f"{made[parent]}/F{number:07d}.;1",
            rr_name=name,
            joliet_path=f"{parent}/{name}",
        )
    image = BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()
