import pytest
from bench import baseline, guest, report, surroundings
from bench.hubstart import phases
from lxml import etree

MARKS = [
    ("placed", 100.5),
    ("disk", 101.0),
    ("disk", 101.2),
    ("boot", 102.0),
    ("boot", 102.1),
    ("context", 110.0),
    ("server", 112.0),
    ("ready", 120.0),
]


def test_a_phase_lasts_from_its_first_mark_to_the_next_phases():
    assert phases(100.0, MARKS, 121.0) == pytest.approx(
        {"placed": 1.0, "disk": 1.0, "boot": 8.0, "context": 2.0, "server": 8.0, "route": 1.0}
    )


def test_phases_add_up_to_the_whole_start_also_when_one_has_no_mark():
    marks = [mark for mark in MARKS if mark[0] != "context"]
    found = phases(100.0, marks, 121.0)
    assert "context" not in found
    assert sum(found.values()) == pytest.approx(21.0)


def test_a_start_without_the_hub_has_no_placement():
    marks = [("boot", 100.0), ("context", 108.0), ("server", 109.0)]
    assert phases(100.0, marks, 120.0) == pytest.approx(
        {"boot": 8.0, "context": 1.0, "server": 11.0, "route": 0.0}
    )


@pytest.mark.parametrize(
    ("said", "seconds"), [("1.5s", 1.5), ("850ms", 0.85), ("1min 2.250s", 62.25), ("12us", 0.000012)]
)
def test_systemds_time_spans_are_read(said, seconds):
    assert guest.span(said) == pytest.approx(seconds)


def test_the_parts_of_the_guests_boot_are_read():
    said = "Startup finished in 1.2s (kernel) + 1min 3.4s (userspace) = 1min 4.6s \ngraphical.target\n"
    assert guest.seconds(said) == pytest.approx({"kernel": 1.2, "userspace": 63.4, "total": 64.6})
    assert guest.seconds("Bootup is not yet finished") == {}


def results(virsh):
    return {
        "hub": [{"total": total, "phases": phases(100.0, MARKS, 100.0 + total)} for total in (21, 22, 30)],
        "virsh": [{"total": total, "phases": {"boot": total}} for total in virsh],
        "simple": [{"total": total, "phases": {}} for total in (2.0, 2.2, 2.4)],
        "acceleration": "qemu",
        "first": 40.0,
        "guest": {"kernel": 1.2, "userspace": 3.4, "total": 4.6},
        "appliance": {"size_mib": 900.0, "build_seconds": 200.0},
    }


def test_medians_and_ratios_are_what_counts():
    found = report.summary(results([20.0, 20.0, 50.0]))
    assert found["hub"] == 22
    assert found["hub/virsh"] == pytest.approx(1.1)
    assert found["hub/simple"] == pytest.approx(10.0)


@pytest.mark.parametrize(("virsh", "verdict"), [([20.0], "within the target"), ([10.0], "OVER the target")])
def test_the_report_says_whether_the_target_is_met(virsh, verdict):
    text = report.text(results(virsh))
    assert verdict in text
    assert "SimpleLocalProcessSpawner: 10.0" in text
    assert "systemd-analyze of the guest: 4.6 s (kernel 1.2 s, userspace 3.4 s)" in text
    assert "Appliance: 900 MiB, built in 200 s" in text


def test_the_report_says_how_busy_the_machine_was():
    said = report.text(results([20.0]) | {surroundings.KEY: surroundings.of(0.3, 1.25, 2)})
    assert "The machine was quiet (load 0.3 before and 1.2 after, 2 cores)" in said
    said = report.text(results([20.0]) | {surroundings.KEY: surroundings.of(0.3, 2.5, 2)})
    assert "The machine was busy (load 0.3 before and 2.5 after" in said
    assert "How busy the machine was is not known" in report.text(results([20.0]))


def test_what_was_left_out_is_not_reported():
    only = {key: value for key, value in results([]).items() if key in {"hub", "acceleration", "virsh"}}
    assert "virsh" not in report.text(only)


def test_the_results_are_drawn(tmp_path):
    report.plot(results([20.0]), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_baseline_is_the_same_machine_and_not_the_controllers():
    root = etree.fromstring("""
        <domain><name>hub-m-1</name><uuid>1</uuid><metadata><machine/></metadata>
        <devices><disk><source file="/pool/disk-m-1.qcow2"/></disk>
        <disk><source file="/pool/home.qcow2"/></disk></devices></domain>""")
    made = etree.fromstring(baseline.domain_xml(root, {"/pool/disk-m-1.qcow2": "/pool/bench.qcow2"}))
    assert made.findtext("name") == baseline.NAME
    assert made.findtext("uuid") != "1"
    assert made.find("metadata") is None
    assert [source.get("file") for source in made.iterfind("devices/disk/source")] == [
        "/pool/bench.qcow2",
        "/pool/home.qcow2",
    ]
