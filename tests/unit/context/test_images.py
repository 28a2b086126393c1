"""Contexts: composed as data, read back from the images as a guest would."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
import yaml
from pycdlib import PyCdlib

from cernvmapi.errors import Invalid
from cernvmcontroller.context import NetworkIdentity, compose, configdrive, nocloud, seed_image

NETWORK = NetworkIdentity("52:54:00:00:00:07", "10.80.0.7", 20, "10.80.0.1", ("10.80.0.1",))


def read(image: bytes, path: str) -> str:
    iso = PyCdlib()
    iso.open_fp(BytesIO(image))
    text = BytesIO()
    iso.get_file_from_iso_fp(text, rr_path=path)
    joliet = BytesIO()
    iso.get_file_from_iso_fp(joliet, joliet_path=path)
    iso.close()
    assert text.getvalue() == joliet.getvalue()
    return text.getvalue().decode()


def label(image: bytes) -> str:
    iso = PyCdlib()
    iso.open_fp(BytesIO(image))
    text = iso.pvd.volume_identifier.decode().strip()
    iso.close()
    return text


def test_nocloud_has_label_and_three_files():
    image = nocloud(compose(machine_id="m-abcdefghijkl", network=NETWORK))
    assert label(image) == "cidata"
    assert read(image, "/user-data").startswith("#cloud-config\n")
    assert yaml.safe_load(read(image, "/user-data"))["hostname"] == "m-abcdefghijkl"
    assert yaml.safe_load(read(image, "/meta-data"))["instance-id"] == "m-abcdefghijkl"
    interface = yaml.safe_load(read(image, "/network-config"))["ethernets"]["machine"]
    assert interface["match"] == {"macaddress": NETWORK.mac}
    assert interface["addresses"] == ["10.80.0.7/20"]


def test_configdrive_has_the_layout_that_cernvm_reads():
    image = configdrive(compose(machine_id="m-abcdefghijkl", network=NETWORK))
    assert label(image) == "config-2"
    assert read(image, "/openstack/latest/user_data") == read(image, "/ec2/latest/user-data")
    assert json.loads(read(image, "/openstack/latest/meta_data.json"))["uuid"] == "m-abcdefghijkl"
    network = json.loads(read(image, "/openstack/latest/network_data.json"))
    assert network["networks"][0]["netmask"] == "255.255.240.0"


def test_an_image_is_small():
    assert len(nocloud(compose(machine_id="m-abcdefghijkl", network=NETWORK))) < 512 * 1024


def test_the_appliance_chooses_the_dialect():
    context = compose(machine_id="m-abcdefghijkl", network=None)
    assert label(seed_image(context, ["configdrive", "nocloud"])) == "config-2"
    assert label(seed_image(context, ["opennebula", "nocloud"])) == "cidata"
    with pytest.raises(Invalid, match="opennebula"):
        seed_image(context, ["opennebula"])


def test_site_data_cannot_become_syntax():
    nasty = "x\n#cloud-config\nruncmd: [rm -rf /]\n'\": }{"
    context = compose(machine_id="m-abcdefghijkl", network=None, site={"final_message": nasty})
    assert yaml.safe_load(context.render_user_data())["final_message"] == nasty
    assert "runcmd" not in yaml.safe_load(context.render_user_data())


@pytest.mark.parametrize(
    "site", [{"password": "x"}, {"write_files": [{"api_token": "x"}]}, {"a": {"Secret": 1}}]
)
def test_a_context_refuses_secrets(site):
    with pytest.raises(Invalid, match="secret"):
        compose(machine_id="m-abcdefghijkl", network=None, site=site)
