"""The layer: our own wheel on a small ISO image, so that a commit does not rebuild an appliance."""

from __future__ import annotations

import compileall
import hashlib
import importlib
import json
import py_compile
import re
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipe.cache import made_once, recipe_hash
from recipe.commands import BuildFailed, progress, run

if TYPE_CHECKING:
    from collections.abc import Iterable

LABEL = "CERNVMHUB"
PROTOCOL = 1
"""Of the agent inside."""

MACHINES_PYTHON = (3, 11)

IN_MACHINES = ("cernvmagent", "cernvmapi", "cernvmwidgets", "cernvmextension")
"""Packages of the distribution that a machine needs: neither controller nor spawner."""


def build(appliance: Path, cache: Path) -> Path:
    """Build the layer, or find it built: its sources tell, so that an unchanged checkout needs no network.

    Returns
    -------
    pathlib.Path
        ``layer-<hash>.iso``; the hash is of what it is made from.
    """
    project = appliance.parent
    target = cache / f"layer-{_recipe(project)}.iso"
    with made_once(target) as image:
        if image is not None:
            _make(project, image, image.parent)
    return target


def _recipe(project: Path) -> str:
    """Hash the sources of what machines need of our wheel, and whether it is compiled for them."""
    wheel = _pyproject(project)["tool"]["hatch"]["build"]["targets"]["wheel"]
    names = [path for path in wheel["packages"] if Path(path).name in IN_MACHINES]
    # The metadata of the distribution has the readme and the licence in it.
    names += [*wheel["shared-data"], "pyproject.toml", "README.md", "LICENSE", "appliance/recipe/layer.py"]
    sources = recipe_hash([project / name for name in names], project)
    return hashlib.sha256(f"{sources} {_is_machines_python()}".encode()).hexdigest()[:16]


def _pyproject(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text())


def _is_machines_python() -> bool:
    """Whether what this Python compiles can be used in machines."""
    return sys.version_info[:2] == MACHINES_PYTHON


def _make(project: Path, image: Path, scratch: Path) -> None:
    progress("layer: making our wheel")
    site = _wheel_contents(project, scratch)
    if _is_machines_python():
        _compile(site)
    sums = {
        str(path.relative_to(site)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }
    about = {"version": _pyproject(project)["project"]["version"], "protocol": PROTOCOL, "sha256s": sums}
    (scratch / "tree/layer.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
    write_iso(image, scratch / "tree")


def write_iso(image: Path, tree: Path) -> None:
    """Write a folder to an ISO 9660 image with Rock Ridge names."""
    try:
        pycdlib: Any = importlib.import_module("pycdlib")
    except ImportError:
        raise BuildFailed(
            "The layer needs pycdlib: install the project with its extra [controller]."
        ) from None
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09", vol_ident=LABEL)
    places: dict[Path, str] = {tree: ""}
    # ISO 9660's own names only need to be unique; what is seen are the Rock Ridge names.
    for number, path in enumerate(_parents_first(tree)):
        place = f"{places[path.parent]}/{'D' if path.is_dir() else 'F'}{number:06d}"
        if path.is_dir():
            places[path] = place
            iso.add_directory(place, rr_name=path.name, file_mode=0o040555)
        else:
            iso.add_file(str(path), f"{place}.;1", rr_name=path.name, file_mode=0o100444)
    iso.write(str(image))
    iso.close()


def _parents_first(tree: Path) -> Iterable[Path]:
    return sorted(tree.rglob("*"), key=lambda path: (len(path.parts), path))


def _wheel_contents(project: Path, scratch: Path) -> Path:
    """Make the project's wheel and unpack what machines need of it."""
    wheels = scratch / "wheels"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, project)
    (wheel,) = wheels.glob("*.whl")
    unpacked = scratch / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    site = scratch / "tree/site-packages"
    site.mkdir(parents=True)
    share = scratch / "tree/share"
    for path in unpacked.iterdir():
        if path.name in IN_MACHINES:
            shutil.copytree(path, site / path.name)
        elif path.suffix == ".dist-info":
            shutil.copytree(path, site / path.name)
            _without_build_traces(site / path.name)
        elif path.suffix == ".data":
            # Jupyter's own files (labextensions, server configuration), where JUPYTER_PATH of a machine
            # leads, and the notebooks for new homes.
            for data in path.glob("data/*"):
                shutil.copytree(data, share.parent / data.name, dirs_exist_ok=True)
    return site


def _compile(site: Path) -> None:
    """Compile, as machines cannot write to the layer."""
    compileall.compile_dir(
        site,
        quiet=2,
        stripdir=str(site),
        prependdir="/opt/cernvmhub/layer/site-packages",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _without_build_traces(folder: Path) -> None:
    """Drop what names the machine that built it, and what does not hold for a part of the wheel."""
    (folder / "direct_url.json").unlink(missing_ok=True)
    record = folder / "RECORD"
    kept = [
        line for line in record.read_text().splitlines() if re.match(rf"({'|'.join(IN_MACHINES)})/", line)
    ]
    record.write_text("".join(f"{line}\n" for line in kept))
    entry_points = folder / "entry_points.txt"
    if entry_points.exists():
        # The hub's spawner and the controller's commands are not in machines.
        entry_points.unlink()
