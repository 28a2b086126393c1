"""Write the list of metrics from the registry that the controller serves.

It is written to ``reference/generated/metrics.md``, which ``reference/metrics.md`` includes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric
    from sphinx.application import Sphinx

OURS = "cernvm_"


def page(families: list[Metric], labels: dict[str, tuple[str, ...]]) -> str:
    """Return a table of the metrics.

    Parameters
    ----------
    families
        As the registry collects them.
    labels
        By the metrics' names, where the families do not say it themselves.
    """
    return "\n".join(_table(families, labels)) + "\n"


def _table(families: list[Metric], labels: dict[str, tuple[str, ...]]) -> Iterator[str]:
    yield "| metric | type | labels | |\n|---|---|---|---|"
    for family in sorted(families, key=lambda one: one.name):
        if family.name.startswith(OURS):
            # A family of counters is called without the ending that its samples have.
            name = f"{family.name}_total" if family.type == "counter" else family.name
            own = labels.get(name) or getattr(family, "_labelnames", ())
            shown = ", ".join(f"`{label}`" for label in own)
            yield f"| `{name}` | {family.type} | {shown} | {family.documentation} |"


def write(app: Sphinx) -> None:
    """Write the page before Sphinx reads the sources."""
    from cernvmcontroller.web.metrics import Metrics  # noqa: PLC0415 - the tests of `page` need none

    metrics = Metrics()
    target = app.srcdir / "reference" / "generated" / "metrics.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = page(list(metrics.registry.collect()), metrics.labels)
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
