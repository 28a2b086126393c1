"""Hardware in a definition: read, changed, and compared with what runs."""

from pathlib import Path

import pytest

from cernvmapi.errors import Conflict, NotFound
from cernvmapi.hardware import DiskChange, HardwareChange, InterfaceChange
from cernvmcontroller.definitions import document, rules
from cernvmcontroller.definitions.hardware import changed, kind, plugged, read, refuse
from cernvmcontroller.hypervisor.offers import DomainKind, Offers, parse

GOLDEN = Path(__file__).parents[1] / "hypervisor/golden"
BIOS = (GOLDEN / "domain-qemu-bios.xml").read_text()
UEFI = (GOLDEN / "domain-kvm-uefi.xml").read_text()
MAC = next(iter(document.interfaces(document.read(BIOS))))


NOTHING = Offers()


def after(**wanted):
    return read("m-1", changed(BIOS, HardwareChange(**wanted)), None, NOTHING)


def test_what_a_machine_is_made_of_is_read():
    found = read("m-1", BIOS, None, NOTHING)
    assert found.firmware == "bios"
    assert [each.what for each in found.disks] == ["root", "home", "layer", "seed"]
    assert (found.disks[0].target, found.disks[0].boot) == ("vda", 1)
    assert [(each.mac, each.link) for each in found.interfaces] == [(MAC, True)]
    assert (found.watchdog, found.tpm, found.devices, found.pending) == ("reset", False, [], [])
    assert read("m-1", UEFI, None, NOTHING).firmware == "uefi"


def test_nothing_wanted_changes_nothing():
    assert changed(BIOS, HardwareChange()) == document.text(document.read(BIOS))


def test_a_disk_gets_another_bus_and_cache_and_a_name_that_is_free():
    root = read("m-1", BIOS, None, NOTHING).disks[0]
    found = after(disks=[DiskChange(target=root.target, bus="sata", cache="none")])
    (disk,) = [each for each in found.disks if each.what == "root"]
    assert (disk.bus, disk.cache) == ("sata", "none")
    assert disk.target.startswith("sd")
    names = [each.target for each in found.disks]
    assert len(set(names)) == len(names)
    xml = changed(BIOS, HardwareChange(disks=[DiskChange(target=root.target, bus="scsi")]))
    assert document.read(xml).find("devices/controller[@type='scsi'][@model='virtio-scsi']") is not None
    assert document.disks(document.read(xml))["root"].find("driver").get("iothread") is None


def test_a_cable_is_pulled_and_plugged_and_a_card_changed():
    assert after(interfaces=[InterfaceChange(mac=MAC, link=False)]).interfaces[0].link is False
    assert after(interfaces=[InterfaceChange(mac=MAC, model="e1000e")]).interfaces[0].model == "e1000e"
    assert plugged(BIOS, InterfaceChange(mac=MAC, link=True)) is None
    pulled = plugged(BIOS, InterfaceChange(mac=MAC, link=False))
    assert '<link state="down"/>' in pulled
    assert pulled.startswith("<interface")


def test_the_order_to_boot_in_is_what_is_said_and_nothing_else():
    seed = read("m-1", BIOS, None, NOTHING).disks[-1].target
    found = after(boot=[seed, MAC])
    assert [each.boot for each in found.disks] == [None, None, None, 1]
    assert found.interfaces[0].boot == 2
    with pytest.raises(NotFound, match="vdz to boot from"):
        after(boot=["vdz"])
    with pytest.raises(Conflict, match="twice"):
        after(boot=[seed, seed])


@pytest.mark.parametrize("action", ["reset", "poweroff", "pause"])
def test_a_watchdog_acts_as_one_likes_or_is_taken_out(action):
    assert after(watchdog=action).watchdog == action
    assert after(watchdog="none").watchdog is None


def test_a_tpm_and_another_firmware():
    found = after(tpm=True, firmware="uefi")
    assert (found.tpm, found.firmware) == (True, "uefi")
    back = changed(changed(BIOS, HardwareChange(tpm=True, firmware="uefi")), HardwareChange(tpm=False))
    assert read("m-1", back, None, NOTHING).tpm is False
    assert read("m-1", changed(UEFI, HardwareChange(firmware="bios")), None, NOTHING).firmware == "bios"


def test_what_is_not_there_is_said():
    with pytest.raises(NotFound, match="no disk vdz"):
        after(disks=[DiskChange(target="vdz", cache="none")])
    with pytest.raises(NotFound, match="no interface"):
        after(interfaces=[InterfaceChange(mac="52:54:00:99:99:99", link=False)])
    (layer,) = [each for each in read("m-1", BIOS, None, NOTHING).disks if each.what == "layer"]
    with pytest.raises(Conflict, match="on virtio"):
        after(disks=[DiskChange(target=layer.target, bus="sata")])


WANTED = HardwareChange(
    disks=[DiskChange(target="vda", bus="sata", cache="none")],
    interfaces=[InterfaceChange(mac=MAC, model="e1000e", link=False)],
    boot=[MAC],
    watchdog="pause",
    tpm=True,
    firmware="uefi",
)


def test_no_change_breaks_a_rule():
    assert [each.words for each in rules.broken(changed(BIOS, WANTED), BIOS)] == []


def test_what_differs_in_what_runs_is_pending():
    found = read("m-1", changed(BIOS, WANTED), BIOS, NOTHING)
    assert {"interface " + MAC, "watchdog", "tpm", "firmware", "disk vda"} <= set(found.pending)
    assert read("m-1", BIOS, BIOS, NOTHING).pending == []


CAPABILITIES = """<domainCapabilities>
  <os supported='yes'><enum name='firmware'><value>bios</value><value>efi</value></enum></os>
  <devices><tpm supported='yes'><enum name='backendModel'><value>emulator</value></enum>
    <enum name='backendVersion'><value>1.2</value><value>2.0</value></enum></tpm></devices>
</domainCapabilities>"""


@pytest.mark.parametrize(
    ("xml", "offers"),
    [
        (CAPABILITIES, Offers(uefi=True, tpm=True)),
        (CAPABILITIES.replace("efi", "other"), Offers(tpm=True)),
        (CAPABILITIES.replace("2.0", "3.0"), Offers(uefi=True)),
        (CAPABILITIES.replace("emulator", "passthrough"), Offers(uefi=True)),
        (CAPABILITIES.replace("tpm supported='yes'", "tpm supported='no'"), Offers(uefi=True)),
        ("<domainCapabilities/>", NOTHING),
    ],
)
def test_what_a_host_offers_is_read_from_libvirts_answer(xml, offers):
    assert parse(xml) == offers


def test_what_a_host_does_not_have_is_refused_before_a_start_fails():
    assert kind(BIOS) == DomainKind("x86_64", document.read(BIOS).find("os/type").get("machine"), "qemu")
    for wanted, words in (({"firmware": "uefi"}, "ovmf"), ({"tpm": True}, "swtpm")):
        with pytest.raises(Conflict, match=words):
            refuse(HardwareChange(**wanted), NOTHING)
        refuse(HardwareChange(**wanted), Offers(uefi=True, tpm=True))
    refuse(HardwareChange(firmware="bios", tpm=False), NOTHING)
