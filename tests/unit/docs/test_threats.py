"""The table of threats names tests, and each of them exists."""

import re
import subprocess
import sys

import pytest


@pytest.fixture
def rows(pytestconfig):
    text = (pytestconfig.rootpath / "docs/explanation/threats.md").read_text()
    found = [line for line in text.splitlines() if re.match(r"\| (?!who,|---)", line)]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in found]


def test_every_row_names_a_threat_what_stops_it_and_one_test(rows):
    assert len(rows) > 30
    for row in rows:
        assert len(row) == 3, row
        assert all(row), row
        assert re.fullmatch(r"`tests/[\w/]+\.py::(Test\w+::)?test_\w+`", row[2]), row


def test_every_test_that_it_names_can_be_run(rows, pytestconfig):
    named = sorted({row[2].strip("`") for row in rows})
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *named],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == 0, collected.stdout + collected.stderr
