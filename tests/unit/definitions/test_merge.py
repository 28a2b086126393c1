"""What the hub decides in an administrator's definition, and what stays as they wrote it."""

from pathlib import Path

import pytest
from lxml import etree

from cernvmapi.errors import Invalid
from cernvmcontroller.definitions import document
from cernvmcontroller.definitions.merge import merged

GOLDEN = Path(__file__).parents[1] / "hypervisor/golden"
EMULATED = (GOLDEN / "domain-qemu-bios.xml").read_text()


def found(xml, path):
    return etree.fromstring(xml.encode()).find(path)


def changed(xml, path, change):
    root = etree.fromstring(xml.encode())
    change(root.find(path))
    return etree.tostring(root, encoding="unicode")


def without(xml, path):
    root = etree.fromstring(xml.encode())
    node = root.find(path)
    node.getparent().remove(node)
    return etree.tostring(root, encoding="unicode")


def test_what_nobody_changed_stays_word_by_word():
    assert merged(EMULATED, EMULATED) == document.text(document.read(EMULATED))


def test_what_an_administrator_wrote_survives_the_hubs_next_composition():
    own = changed(EMULATED, "devices/watchdog", lambda node: node.set("action", "poweroff"))
    own = own.replace("<on_reboot>", "<cputune><shares>512</shares></cputune><on_reboot>")
    result = merged(own, EMULATED)
    assert found(result, "devices/watchdog").get("action") == "poweroff"
    assert found(result, "cputune/shares").text == "512"


def test_elements_that_are_unknown_here_survive():
    own = EMULATED.replace("</devices>", "<novelty of='2031'><inner/></novelty></devices>")
    assert found(merged(own, EMULATED), "devices/novelty[@of='2031']/inner") is not None


@pytest.mark.parametrize("tag", ["name", "uuid", "title", "memory", "currentMemory", "vcpu"])
def test_name_and_size_are_the_hubs(tag):
    own = changed(EMULATED, tag, lambda node: setattr(node, "text", "7"))
    assert found(merged(own, EMULATED), tag).text == found(EMULATED, tag).text
    assert found(merged(without(EMULATED, tag), EMULATED), tag).text == found(EMULATED, tag).text


def test_a_topology_that_contradicts_the_number_of_processors_goes():
    own = EMULATED.replace("<feature policy", "<topology sockets='1' cores='2' threads='1'/><feature policy")
    assert found(own, "cpu/topology") is not None
    assert found(merged(own, EMULATED), "cpu/topology") is not None
    smaller = changed(EMULATED, "vcpu", lambda node: setattr(node, "text", "9"))
    assert found(merged(own, smaller), "cpu/topology") is None


def test_another_acceleration_brings_its_processor():
    own = changed(EMULATED, ".", lambda node: node.set("type", "kvm"))
    own = changed(own, "cpu", lambda node: node.set("mode", "host-passthrough"))
    result = merged(own, EMULATED)
    assert etree.fromstring(result).get("type") == "qemu"
    assert found(result, "cpu").get("mode") == "maximum"


def test_the_hubs_metadata_is_anew_and_others_is_kept():
    own = EMULATED.replace("</metadata>", "<n:note xmlns:n='urn:lab'>rack 7</n:note></metadata>")
    own = own.replace('id="m-', 'id="stale-m-')
    result = merged(own, EMULATED)
    assert "rack 7" in result
    assert "stale-m-" not in result
    assert merged(without(EMULATED, "metadata"), EMULATED).count("<cvm:machine") == 1


def test_the_files_of_the_hubs_disks_are_those_of_the_host_where_it_is_now():
    moved = EMULATED.replace("/pool", "/other-pool").replace("/images", "/other-images")
    own = changed(EMULATED, "devices/disk/driver", lambda node: node.set("cache", "none"))
    result = merged(own, moved)
    sources = [node.get("file") for node in etree.fromstring(result).iterfind(".//disk//source")]
    assert sources == [node.get("file") for node in etree.fromstring(moved).iterfind(".//disk//source")]
    assert found(result, "devices/disk/driver").get("cache") == "none"


def test_what_many_machines_read_is_written_by_none():
    own = without(EMULATED, "devices/disk[serial='layer']/readonly")
    assert found(merged(own, EMULATED), "devices/disk[serial='layer']/readonly") is not None


def test_a_home_comes_and_goes_whatever_the_definition_says():
    with_home = EMULATED
    (home,) = [each for each in document.disks(document.read(EMULATED)) if each == "home"]
    no_home = without(EMULATED, f"devices/disk[serial='{home}']")
    assert "home" not in document.disks(document.read(merged(with_home, no_home)))
    back = merged(no_home, with_home)
    assert "home" in document.disks(document.read(back))
    names = [node.get("dev") for node in etree.fromstring(back).iterfind("devices/disk/target")]
    assert len(names) == len(set(names))


def test_a_new_disk_of_the_hub_takes_no_name_that_is_taken():
    taken = found(EMULATED, "devices/disk[serial='home']/target").get("dev")
    own = without(EMULATED, "devices/disk[serial='home']")
    own = own.replace("<devices>", f"<devices><disk type='file'><target dev='{taken}'/></disk>", 1)
    home = found(merged(own, EMULATED), "devices/disk[serial='home']/target")
    assert home.get("dev") not in {taken, None}


def test_an_interface_is_held_to_its_address_again():
    own = without(EMULATED, "devices/interface/filterref")
    own = without(own, "devices/interface/port")
    own = changed(own, "devices/interface/model", lambda node: node.set("type", "e1000e"))
    interface = found(merged(own, EMULATED), "devices/interface")
    assert interface.find("filterref") is not None
    assert interface.find("port").get("isolated") == "yes"
    assert interface.find("model").get("type") == "e1000e"


def test_what_the_hub_speaks_through_is_there_again():
    own = EMULATED
    for _ in range(2):
        own = without(own, "devices/channel")
    own = without(own, "devices/interface")
    result = document.read(merged(own, EMULATED))
    assert set(document.channels(result)) == set(document.channels(document.read(EMULATED)))
    assert document.interfaces(result)


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("<domain><name>a</domain>", "line 1"),
        ("<network/>", "begins with <domain>"),
        ("", "cannot be read"),
        ("<!DOCTYPE domain [<!ENTITY x 'y'>]><domain>&x;</domain>", "DOCTYPE"),
        ("<domain>" + " " * document.LARGEST + "</domain>", "characters at most"),
        ("<domain>\0</domain>", "cannot be read"),
    ],
    ids=["not closed", "no domain", "nothing", "entities", "too long", "no character"],
)
def test_what_cannot_be_read_is_refused_with_its_place(xml, words):
    with pytest.raises(Invalid, match=words):
        document.read(xml)
