"""`make audit` fails for a flaw, and says plainly what a registry could not tell."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from deployment import audit
from deployment.audit import Verdict, of_node, of_python
from deployment.environment import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator

ADVISORY = {
    "id": 1,
    "url": "https://advisories.example/1",
    "title": "A flaw",
    "severity": "high",
    "vulnerable_versions": "<99",
    "cwe": [],
    "cvss": {"score": 9, "vectorString": None},
}


class Registry(BaseHTTPRequestHandler):
    """The part of npm's registry that has advisories; without any it refuses, as a mirror does."""

    advisories: ClassVar[dict[str, Any] | None] = None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        if self.advisories is None:
            self.answer(405, {})
        else:
            self.answer(200, {name: told for name, told in self.advisories.items() if name in asked})

    def do_GET(self) -> None:
        self.answer(404, {})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Registry]]:
    """npm's own client asks this one."""

    class Own(Registry):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    yield Own
    server.shutdown()
    thread.join()
    server.server_close()


def pinned() -> str:
    lock = json.loads((HERE / "proxy/package-lock.json").read_text())
    return next(path.removeprefix("node_modules/") for path in lock["packages"] if path.count("/") == 1)


def test_npm_is_asked_for_what_is_pinned_and_a_flaw_is_found(registry: type[Registry]) -> None:
    registry.advisories = {pinned(): [ADVISORY]}
    (flaw, *_) = audit.node(HERE / "proxy").flaws
    assert pinned() in flaw or ADVISORY["url"] in flaw
    registry.advisories = {}
    assert audit.node(HERE / "proxy") == Verdict()


def test_a_mirror_without_advisories_is_said_and_is_no_flaw(registry: type[Registry]) -> None:
    assert registry.advisories is None
    verdict = audit.node(HERE / "proxy")
    assert not verdict.flaws
    assert "405" in verdict.unknown
    assert "NOT LOOKED AT, 405" in verdict.text("Node")


@pytest.mark.parametrize("answer", ["", "[]", "<html>", '{"message": "no"}'])
def test_what_is_no_report_is_not_taken_for_a_good_one(answer: str) -> None:
    for read in (of_python, of_node):
        verdict = read(answer, "npm error network\nConnection refused\n")
        assert verdict.unknown in {"Connection refused", "no"}
        assert not verdict.flaws


def test_flaws_and_unknown_packages_of_python_are_both_told() -> None:
    report = {
        "dependencies": [
            {"name": "good", "version": "1", "vulns": []},
            {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3", "2.1"]}]},
            {"name": "private", "skip_reason": "Dependency not found on PyPI"},
        ]
    }
    text = of_python(json.dumps(report), "").text("Python")
    assert "bad 2: PYSEC-1, mended by 3 or 2.1" in text
    assert "NOT LOOKED AT, the registry knows nothing of 1 of 3 packages" in text
    assert "good" not in text


@pytest.mark.parametrize(
    ("python", "node", "code"),
    [
        (Verdict(), Verdict(), 0),
        (Verdict(unknown="away"), Verdict(unknown="away"), 0),
        (Verdict(unknown="away"), Verdict(("bad 1",)), 1),
        (Verdict(("bad 1",), "of one"), Verdict(), 1),
    ],
)
def test_only_a_flaw_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, python: Verdict, node: Verdict, code: int
) -> None:
    monkeypatch.setattr(audit, "python", lambda: python)
    monkeypatch.setattr(audit, "node", lambda _folder: node)
    assert audit.main() == code
