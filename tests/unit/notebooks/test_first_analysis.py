"""The physicist's first analysis runs, and finds what it should."""

import re

from tests.unit.notebooks.conftest import text_of


async def test_the_first_analysis_finds_the_mass_of_the_boson(run, tmp_path):
    notebook = await run("first-analysis.ipynb")
    cells = {cell.id: cell for cell in notebook.cells}
    (found,) = re.findall(r"The peak is at ([0-9.]+) GeV", text_of(cells["mass"]))
    assert abs(float(found) - 91.19) < 0.3
    assert any("image/png" in output.get("data", {}) for output in cells["spectrum"].outputs)
    assert (tmp_path / "dimuon.root").stat().st_size > 1_000_000
