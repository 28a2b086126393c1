"""What must not stand in a machine's definition: every rule, with its name and its line."""

from copy import deepcopy
from pathlib import Path

import pytest
from lxml import etree

from cernvmcontroller.definitions.rules import broken

GOLDEN = Path(__file__).parents[1] / "hypervisor/golden"
NOW = (GOLDEN / "domain-qemu-bios.xml").read_text()


def with_device(xml):
    return NOW.replace("</devices>", f"\n{xml}\n</devices>")


def with_part(xml):
    return NOW.replace("<devices>", f"{xml}\n<devices>", 1)


def edited(path, **attributes):
    root = etree.fromstring(NOW.encode())
    for name, value in attributes.items():
        root.find(path).set(name, value)
    return etree.tostring(root, encoding="unicode")


BASE = etree.fromstring(NOW.encode()).find("devices/disk/backingStore/source").get("file")

HOSTILE = {
    "a file of the host as a disk": (
        "paths", with_device("<disk type='file'><source file='/etc/shadow'/><target dev='vdx'/></disk>")
    ),
    "another's home": (
        "paths", edited("devices/disk[serial='root']/source", file="/pool/home-v-bob.qcow2")
    ),
    "a relative path": (
        "paths", with_device("<disk type='file'><source file='../x'/><target dev='vdx'/></disk>")
    ),
    "a backing file": (
        "paths",
        with_device(
            "<disk type='file'><backingStore type='file'><source file='/etc/passwd'/></backingStore></disk>"
        ),
    ),
    "the base of many machines, written": (
        "paths", edited("devices/disk[serial='root']/source", file=BASE)
    ),
    "the layer of many machines, written": (
        "paths", NOW.replace("<readonly/>", "").replace("<readonly />", "")
    ),
    "the emulator as a disk": (
        "paths", edited("devices/disk[serial='root']/source", file="/usr/bin/qemu-system-x86_64")
    ),
    "a kernel of the host": ("paths", NOW.replace("<bootmenu", "<kernel>/boot/vmlinuz</kernel><bootmenu")),
    "firmware that can be written": ("paths", NOW.replace("<bootmenu", "<nvram>/etc/x</nvram><bootmenu")),
    "another emulator": ("paths", with_device("<emulator>/tmp/mine</emulator>")),
    "a log that QEMU writes": (
        "paths", with_device("<serial type='pty'><log file='/etc/cron.d/x'/></serial>")
    ),
    "a file in the firmware's configuration": (
        "paths", with_part("<sysinfo type='fwcfg'><entry name='x' file='/etc/shadow'/></sysinfo>")
    ),
    "a socket of the host": (
        "paths",
        with_device("<channel type='unix'><source mode='connect' path='/run/libvirt/sock'/></channel>"),
    ),
    "arguments for QEMU": (
        "arguments",
        with_part(
            "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-S'/>"
            "</q:commandline>"
        ),
    ),
    "an override of a device": (
        "arguments", with_device("<q:x xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>")
    ),
    "a block device": (
        "host-devices", with_device("<disk type='block'><source dev='/dev/sda'/></disk>")
    ),
    "a volume of a pool": (
        "host-devices", with_device("<disk type='volume'><source pool='p' volume='home-bob'/></disk>")
    ),
    "a disk of the network": (
        "host-devices", with_device("<disk type='network'><source protocol='nbd' name='x'/></disk>")
    ),
    "a disk that grows from the network": (
        "host-devices",
        NOW.replace('<backingStore type="file">', '<backingStore type="network">', 1),
    ),
    "a way past the filter": ("host-devices", with_device("<vsock model='virtio'><cid auto='yes'/></vsock>")),
    "a PCI device": ("host-devices", with_device("<hostdev mode='subsystem' type='pci'/>")),
    "a folder of the host": (
        "host-devices", with_device("<filesystem type='mount'><source dir='/'/></filesystem>")
    ),
    "shared memory": ("host-devices", with_device("<shmem name='x'/>")),
    "memory in a file": ("host-devices", with_device("<memory model='nvdimm'/>")),
    "a smart card": ("host-devices", with_device("<smartcard mode='host'/>")),
    "the host's keyboard": ("host-devices", with_device("<input type='evdev'/>")),
    "the host's TPM": (
        "host-devices", with_device("<tpm model='tpm-tis'><backend type='passthrough'/></tpm>")
    ),
    "the host's sound": ("host-devices", with_device("<audio id='1' type='pulseaudio'/>")),
    "a vhost-user card": ("isolation", with_device("<interface type='vhostuser'/>")),
    "a bridge of the host": (
        "isolation", with_device("<interface type='bridge'><source bridge='br0'/></interface>")
    ),
    "another network": (
        "isolation", with_device("<interface type='network'><source network='storage'/></interface>")
    ),
    "an interface without a filter": (
        "isolation",
        with_device(
            f"<interface type='network'><mac address='52:54:00:00:00:99'/><source network='"
            f"{etree.fromstring(NOW.encode()).find('devices/interface/source').get('network')}'/></interface>"
        ),
    ),
    "another address in the filter": (
        "isolation", edited("devices/interface/filterref/parameter", value="10.80.0.1")
    ),
    "no isolated port": ("isolation", edited("devices/interface/port", isolated="no")),
    "no label": ("isolation", with_part("<seclabel type='none'/>")),
    "a dump of the guest by its watchdog": ("isolation", edited("devices/watchdog", action="dump")),
    "a core dump with the guest in it": ("isolation", edited("memory", dumpCore="on")),
    "a core dump": ("isolation", NOW.replace("<on_crash>destroy", "<on_crash>coredump-restart")),
    "a screen for everybody": (
        "isolation",
        with_device("<graphics type='vnc'><listen type='address' address='0.0.0.0'/></graphics>"),
    ),
    "a password in the XML": (
        "isolation", with_device("<graphics type='vnc' passwd='x'><listen type='socket'/></graphics>")
    ),
    "a serial port on the network": ("isolation", with_device("<serial type='tcp'/>")),
    "entropy from elsewhere": (
        "isolation", with_device("<rng model='virtio'><backend model='egd' type='tcp'/></rng>")
    ),
    "another name": ("identity", NOW.replace("<name>", "<name>x")),
    "another UUID": ("identity", NOW.replace("<uuid>", "<uuid>0")),
    "another size": ("size", NOW.replace("</memory>", "0</memory>")),
    "more processors": ("size", NOW.replace("</vcpu>", "0</vcpu>")),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "xml"), HOSTILE.values(), ids=HOSTILE)
def test_what_could_hurt_a_host_or_a_neighbour_breaks_a_rule(rule, xml):
    assert rule in {each.rule for each in broken(xml, NOW)}


@pytest.mark.parametrize("path", ["disk[serial='root']", "disk[serial='home']", "interface", "channel"])
def test_what_the_hub_made_is_not_taken_out(path):
    root = etree.fromstring(NOW.encode())
    node = root.find(f"devices/{path}")
    node.getparent().remove(node)
    (fault,) = broken(etree.tostring(root, encoding="unicode"), NOW)
    assert (fault.rule, fault.line) == ("identity", 0)


HARMLESS = {
    "nothing": NOW,
    "a boot menu": NOW.replace('<bootmenu enable="no"', '<bootmenu enable="yes"'),
    "another watchdog": edited("devices/watchdog", action="poweroff"),
    "a cache": edited("devices/disk/driver", cache="none"),
    "weights": with_part("<cputune><shares>512</shares></cputune>"),
    "a sound card": with_device("<sound model='ich9'/>"),
    "an emulated TPM": with_device("<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"),
    "another network card": edited("devices/interface/model", type="e1000e"),
    "a comment": with_device("<!-- see ticket 4711 -->"),
    "notes of a tool": NOW.replace("</metadata>", "<n:x xmlns:n='urn:lab'>/etc is safe</n:x></metadata>"),
    "a second screen": with_device("<graphics type='vnc'><listen type='socket'/></graphics>"),
}


@pytest.mark.parametrize("xml", HARMLESS.values(), ids=HARMLESS)
def test_what_is_an_administrators_to_choose_breaks_none(xml):
    assert broken(xml, NOW) == []


def test_a_fault_says_where_it_is():
    xml = with_device("<hostdev mode='subsystem' type='pci'/>")
    line = next(number for number, text in enumerate(xml.splitlines(), 1) if "<hostdev" in text)
    (fault,) = broken(xml, NOW)
    assert (fault.rule, fault.line) == ("host-devices", line)


ARGS = (
    "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-no-hpet'/>"
    "</q:commandline>"
)
STAYS = {
    "a device": (with_device("<hostdev mode='subsystem' type='pci'/>"), "'pci'", "'usb'"),
    "arguments": (with_part(ARGS), "</q:commandline>", "<q:arg value='-S'/></q:commandline>"),
    "an interface": (
        with_device("<interface type='bridge'><source bridge='br0'/></interface>"), "'br0'", "'br1'"
    ),
    "a screen": (
        with_device("<graphics type='vnc'><listen type='address' address='127.0.0.1'/></graphics>"),
        "127.0.0.1", "0.0.0.0"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "old", "new"), STAYS.values(), ids=STAYS)
def test_what_somebody_with_the_right_put_there_may_stay_as_it_is_and_not_become_more(before, old, new):
    assert broken(before.replace("destroy", "restart"), before) == []
    assert broken(before.replace(old, new), before) != []


@pytest.mark.parametrize("path", ["disk[serial='home']", "interface", "channel"])
def test_what_the_hub_made_stands_there_once(path):
    root = etree.fromstring(NOW.encode())
    node = root.find(f"devices/{path}")
    node.addnext(deepcopy(node))
    found = broken(etree.tostring(root, encoding="unicode"), NOW)
    assert [(each.rule, "more than once" in each.words) for each in found] == [("identity", True)]


def test_a_disk_is_not_taken_for_the_hubs_by_its_name():
    home = etree.fromstring(NOW.encode()).find("devices/disk[serial='home']/source").get("file")
    xml = with_device(f"<disk type='file'><source file='{home}'/><target dev='home'/></disk>")
    assert [each.rule for each in broken(xml, NOW)] == ["paths"]
