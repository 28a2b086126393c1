"""The results, for a person: text and a picture."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import surroundings
from bench.hubstart import ORDER
from bench.load import parts

if TYPE_CHECKING:
    from pathlib import Path

TARGET = 1.15
"""A cold start from the hub takes at most this many times one with virsh."""


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """Return the medians and the ratios of what was measured.

    Parameters
    ----------
    results
        ``hub``, ``virsh``, ``simple``: starts, each with ``total`` and ``phases`` in seconds.
    """
    found: dict[str, Any] = {"phases": _phases(results["hub"])}
    for name in ("hub", "virsh", "simple"):
        if results.get(name):
            found[name] = median(start["total"] for start in results[name])
            if name != "hub":
                found[f"hub/{name}"] = found["hub"] / found[name]
    if results.get("virsh"):
        found["virsh phases"] = _phases(results["virsh"])
    return found


def _phases(starts: list[dict[str, Any]]) -> dict[str, float]:
    return {name: median(start["phases"].get(name, 0.0) for start in starts) for name in ORDER}


def text(results: dict[str, Any]) -> str:
    """Return everything as lines to read."""
    lines = _machine(results) if results.get("hub") else []
    for name, by_database in results.get("under load", {}).items():
        lines += [f"{name} on {db}: {parts.sentence(name, found)}" for db, found in by_database.items()]
    return "\n".join(lines)


def _machine(results: dict[str, Any]) -> list[str]:
    short = summary(results)
    lines = [
        f"Cold start from the hub: {short['hub']:.1f} s (median of {len(results['hub'])})",
        f"Acceleration: {results['acceleration']}",
        *(
            f"  {name:<8}{seconds:7.2f} s  {seconds / short['hub']:6.1%}"
            + (f"   (virsh {short['virsh phases'][name]:.2f} s)" if "virsh" in short else "")
            for name, seconds in short["phases"].items()
        ),
    ]
    if results.get("first"):
        lines.append(f"The first one on a host, which brings the appliance to it: {results['first']:.1f} s")
    if "virsh" in short:
        verdict = "within" if short["hub/virsh"] <= TARGET else "OVER"
        lines.append(
            f"hub / virsh create, same appliance and server: {short['hub/virsh']:.2f} "
            f"({verdict} the target of {TARGET}; virsh create {short['virsh']:.1f} s)"
        )
    if "simple" in short:
        lines.append(
            f"hub / SimpleLocalProcessSpawner: {short['hub/simple']:.1f} (it takes {short['simple']:.1f} s)"
        )
    if guest := results.get("guest"):
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in guest.items() if name != "total")
        lines.append(f"systemd-analyze of the guest: {guest['total']:.1f} s ({parts})")
    if appliance := results.get("appliance"):
        lines.append(
            f"Appliance: {appliance['size_mib']:.0f} MiB"
            + (f", built in {appliance['build_seconds']:.0f} s" if appliance.get("build_seconds") else "")
        )
    said = surroundings.text(results)
    lines.append(f"{said[0].upper()}{said[1:]}")
    return lines


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw the starts as bars, the hub's in its phases, and the controller's memory over the soak."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only needed at the end

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    soak = results.get("under load", {}).get("soak", {})
    draw = [partial(_draw_starts, results, plt.cm.viridis)] if results.get("hub") else []
    draw += [partial(_draw_memory, soak)] if soak else []
    if not draw:
        return
    figure, rows = plt.subplots(len(draw), figsize=(9, 3 * len(draw)), layout="constrained", squeeze=False)
    for row, part in zip(rows, draw, strict=True):
        part(row[0])
    figure.savefig(path)
    plt.close(figure)


def _draw_starts(results: dict[str, Any], color: Any, axes: Any) -> None:
    short = summary(results)
    colors = {name: color(number / len(ORDER)) for number, name in enumerate(ORDER)}
    for label, phases in (("hub", short["phases"]), ("virsh create", short.get("virsh phases", {}))):
        left = 0.0
        for name, seconds in phases.items():
            axes.barh(label, seconds, left=left, label=name if label == "hub" else None, color=colors[name])
            left += seconds
    if "simple" in short:
        axes.barh("local process", short["simple"], color="0.6")
    axes.invert_yaxis()
    axes.set_xlabel("seconds from the request to an answering notebook server")
    axes.legend(ncols=len(ORDER), loc="upper center", bbox_to_anchor=(0.5, -0.25), frameon=False)


def _draw_memory(soak: dict[str, Any], axes: Any) -> None:
    for database, found in soak.items():
        axes.plot(found["rss_mib"], label=database)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds with twenty events each")
    axes.set_ylabel("controller, MiB")
    axes.legend(frameon=False)
