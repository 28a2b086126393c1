"""The parts of the image builder that need neither rights nor network."""

from __future__ import annotations

import io
import json
import shutil
import sys
import threading
from pathlib import Path

import pycdlib
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "appliance"))

from recipe import cli, debian, disk, initramfs, layer, packages, system, wheels  # noqa: E402
from recipe.cache import made_once, recipe_hash  # noqa: E402
from recipe.commands import BuildFailed, require, run  # noqa: E402

# --- cache ---


def test_the_hash_of_a_recipe_follows_names_contents_and_the_executable_bit(tmp_path):
    def hashed():
        return recipe_hash([tmp_path / "recipe"], tmp_path)

    (tmp_path / "recipe/deep").mkdir(parents=True)
    file = tmp_path / "recipe/deep/file"
    file.write_text("one")
    file.chmod(0o644)
    first = hashed()
    file.chmod(0o600)
    assert hashed() == first, "the umask of whoever checked out does not count"
    (tmp_path / "recipe/__pycache__").mkdir()
    (tmp_path / "recipe/__pycache__/x.pyc").write_text("x")
    assert hashed() == first, "nor does what Python left"
    file.chmod(0o755)
    second = hashed()
    file.write_text("two")
    third = hashed()
    file.rename(file.with_name("other"))
    assert len({first, second, third, hashed()}) == 4


def test_what_was_built_is_not_built_again(tmp_path):
    target = tmp_path / "cache/thing-1"
    with made_once(target) as place:
        place.mkdir()
        assert not target.exists()
    assert target.is_dir()
    with made_once(target) as place:
        assert place is None


def test_a_build_that_failed_leaves_nothing(tmp_path):
    target = tmp_path / "thing-1"

    def build():
        with made_once(target) as place:
            place.mkdir()
            raise BuildFailed("no")

    with pytest.raises(BuildFailed):
        build()
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]


def test_what_a_killed_build_left_is_cleaned_by_the_next_one(tmp_path):
    left = tmp_path / ".making-thing-abc"
    left.mkdir()
    (left / "half").write_text("half")
    other = tmp_path / ".making-other-abc"
    other.mkdir()
    with made_once(tmp_path / "thing-1") as place:
        place.write_text("whole")
    assert not left.exists()
    assert other.exists(), "another kind may be in the making"


def test_two_builds_of_the_same_are_one(tmp_path):
    made = []

    def build():
        with made_once(tmp_path / "thing-1") as place:
            if place is not None:
                made.append(place)
                place.write_text("x")

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


# --- Debian ---


def test_this_machine_s_archives_are_used_and_other_projects_left_out(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# comment\ndeb [signed-by=/x.gpg] http://mirror.example/debian bookworm main contrib\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb http://mirror.example/debian trixie main\n"
    )
    (tmp_path / "sources.list.d/docker.list").write_text("deb http://docker.example/debian bookworm stable\n")
    (tmp_path / "sources.list.d/security.sources").write_text(
        "Types: deb deb-src\nURIs: http://mirror.example/security\nSuites: bookworm-security\n"
        "Components:\n main\n contrib\n\nTypes: deb\nURIs: http://old.example\nSuites: bookworm\n"
        "Components: main\nEnabled: no\n"
    )
    assert debian.host_sources(tmp_path) == [
        "deb http://mirror.example/debian bookworm main",
        "deb http://mirror.example/security bookworm-security main",
    ]


def test_debian_s_own_archives_are_used_where_the_machine_names_none(tmp_path):
    assert debian.host_sources(tmp_path) == list(debian.SOURCES)


def test_debian_packages_are_listed_with_versions_and_licences(tmp_path):
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(
        "Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2.13\nDescription: x\n Package: no\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: bash\nStatus: install ok installed\nVersion: 5.2\n\n"
    )
    for name, text in [
        ("zlib1g", "Format: x\n\nFiles: *\nLicense: Zlib\n\nFiles: debian/*\nLicense: GPL-2+\n text\n"),
        ("bash", "Free software; see /usr/share/common-licenses/GPL-3.\n"),
    ]:
        (tmp_path / "usr/share/doc" / name).mkdir(parents=True)
        (tmp_path / "usr/share/doc" / name / "copyright").write_text(text)
    assert packages.debian_packages(tmp_path) == [
        {"name": "bash", "version": "5.2", "licence": "GPL-3"},
        {"name": "zlib1g", "version": "1:1.2.13", "licence": "Zlib, GPL-2+"},
    ]


# --- Python ---


def test_what_is_left_out_of_a_lock_goes_with_its_hashes():
    kept = "a==1 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n"
    gone = "lark==2 \\\n    --hash=sha256:3\n"
    other = "larkin==3 \\\n    --hash=sha256:4\n"
    lock = kept + gone + other
    assert wheels.without(lock, ["lark"]) == kept + other
    assert wheels.without(lock, []) == lock


@pytest.mark.parametrize("name", ["server", "kernel"])
def test_the_locks_hold_hashes_and_name_no_registry(name):
    text = (ROOT / f"appliance/default/python/{name}.txt").read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "index" not in text.split("\n#\n", 2)[-1]


def test_server_and_kernel_speak_the_same_words():
    """Widgets' two halves, and the messages between server and kernels, come from the same releases."""

    def versions(name):
        text = (ROOT / f"appliance/default/python/{name}.txt").read_text()
        return dict(line.split(" ")[0].split("==") for line in text.splitlines() if "==" in line)

    server, kernel = versions("server"), versions("kernel")
    for shared in ("ipywidgets", "anywidget", "jupyterlab-widgets", "jupyter-client", "msgspec", "httpx"):
        assert server[shared] == kernel[shared], shared


# --- kernel modules and disks ---


def test_modules_are_loaded_after_what_they_need(tmp_path):
    folder = tmp_path / "kernel/drivers"
    folder.mkdir(parents=True)
    needs = {"virtio": "", "virtio_ring": "virtio", "virtio-blk": "virtio_ring,virtio", "other": ""}
    for name, needed in needs.items():
        note = b"\x7fELF\0license=GPL\0depends=" + needed.encode() + b"\0name=x\0"
        (folder / f"{name}.ko").write_bytes(note)
    (tmp_path / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    order = [path.stem for path in initramfs.module_order(tmp_path, ["virtio_blk", "ext4", "virtio"])]
    assert order == ["virtio", "virtio_ring", "virtio-blk"]


def test_a_module_that_the_kernel_does_not_have_is_named(tmp_path):
    (tmp_path / "kernel").mkdir()
    (tmp_path / "modules.builtin").write_text("")
    with pytest.raises(BuildFailed, match="no module virtio_blk"):
        initramfs.module_order(tmp_path, ["virtio_blk"])


def test_a_disk_boots_from_its_first_partition_and_stays_sparse(tmp_path):
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"kernel" * 1000)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "hello").write_text("world")
    boot, root, raw = tmp_path / "boot", tmp_path / "root", tmp_path / "raw"
    disk.boot_partition(boot, 4, {"vmlinuz": kernel}, "DEFAULT linux\n")
    disk.root_file_system(root, tree, 300, "TEST")
    disk.assemble(raw, boot, root)
    table = json.loads(run("sfdisk", "--json", raw))["partitiontable"]
    assert table["label"] == "dos"
    first, second = table["partitions"]
    assert (first["start"], first["type"], first["bootable"]) == (2048, "c", True)
    assert second["type"] == "83"
    content = raw.read_bytes()
    assert content[510:512] == b"\x55\xaa"
    assert content[:4] != bytes(4), "there is boot code"
    assert content[2048 * 512 :][: boot.stat().st_size] == boot.read_bytes()
    assert content[second["start"] * 512 :] == root.read_bytes()
    assert raw.stat().st_blocks * 512 < raw.stat().st_size / 2
    shown = run("mcopy", "-i", f"{raw}@@1M", "::syslinux.cfg", "-").decode()
    assert shown == "DEFAULT linux\n"


def test_missing_tools_are_named_by_their_packages(monkeypatch):
    monkeypatch.setattr("recipe.commands.find", lambda _: None)
    with pytest.raises(BuildFailed, match="apt install mtools syslinux"):
        require("mcopy", "mformat", "syslinux")


def test_a_tool_that_fails_is_quoted():
    with pytest.raises(BuildFailed, match="sh failed \\(3\\):\n  the reason"):
        run("sh", "-c", "echo the reason >&2; exit 3")


# --- the layer ---


@pytest.fixture(scope="module")
def iso(tmp_path_factory):
    return layer.build(ROOT / "appliance", tmp_path_factory.mktemp("layers"))


def read(image, path):
    found = io.BytesIO()
    image.get_file_from_iso_fp(found, rr_path=path)
    return found.getvalue()


def test_the_layer_holds_what_machines_need_and_nothing_of_the_hub(iso):
    image = pycdlib.PyCdlib()
    image.open(str(iso))
    assert image.pvd.volume_identifier.strip() == b"CERNVMHUB"
    about = json.loads(read(image, "/layer.json"))
    names = about["sha256s"]
    assert about["protocol"] == 1
    assert "cernvmagent/__main__.py" in names
    assert "cernvmapi/models/__init__.py" in names
    assert {"cernvmviews/static/widget.js", "cernvmviews/static/views.css"} <= names.keys()
    assert not any(name.startswith(("cernvmcontroller", "cernvmspawner")) for name in names)
    assert b"PROTOCOL = 1" in read(image, "/site-packages/cernvmagent/protocol.py")
    notebook = json.loads(read(image, "/share/cernvmhub/notebooks/my-machines.ipynb"))
    assert notebook == json.loads((ROOT / "notebooks/my-machines.ipynb").read_text())
    assert any(name.endswith(".pyc") for name in names) is (sys.version_info[:2] == layer.MACHINES_PYTHON)
    image.close()


def test_the_layer_says_nothing_of_where_it_was_built(iso):
    content = iso.read_bytes()
    assert str(ROOT).encode() not in content
    assert b"file://" not in content


@pytest.fixture
def checkout(tmp_path):
    """The project once more, without what is not versioned."""
    copy = tmp_path / "checkout"
    for folder in ("controller", "appliance", "widgets", "extension", "spawner", "notebooks"):
        shutil.copytree(
            ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
        )
    for file in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy / file)
    return copy


def test_an_unchanged_checkout_builds_no_layer_and_needs_no_package_index(iso, checkout, monkeypatch):
    def refuse(*_command, **_options):
        raise AssertionError("nothing is to be run")

    monkeypatch.setattr(layer, "run", refuse)
    assert layer.build(checkout / "appliance", iso.parent) == iso
    (checkout / "controller/cernvmcontroller/app.py").write_text(
        "# machines have nothing of the controller\n"
    )
    assert layer.build(checkout / "appliance", iso.parent) == iso


@pytest.mark.parametrize(
    "source",
    [
        "appliance/cernvmagent/agent.py",
        "controller/cernvmapi/models/machines.py",
        "widgets/cernvmwidgets/mymachines.js",
        "extension/etc/cernvmextension.json",
        "notebooks/my-machines.ipynb",
        "pyproject.toml",
        "appliance/recipe/layer.py",
    ],
)
def test_a_changed_source_is_another_layer(iso, checkout, source, monkeypatch):
    class Run(Exception):
        pass

    def made(*_command, **_options):
        raise Run

    monkeypatch.setattr(layer, "run", made)
    with (checkout / source).open("a") as file:
        file.write("\n")
    with pytest.raises(Run):
        layer.build(checkout / "appliance", iso.parent)


# --- the command ---


def test_a_build_without_rights_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.main(["tiny", "--cache", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "needs root" in said.err
    assert said.out == ""


def test_lists_may_have_comments(tmp_path):
    (tmp_path / "list").write_text("# why\none\n\ntwo\n")
    assert system.lines(tmp_path / "list") == ["one", "two"]
