"""Somebody who uses the hub by its REST API, as a script of theirs would."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Self

import httpx
from tests.e2e.installation import until
from tests.fixtures import kernel_connection

if TYPE_CHECKING:
    from types import TracebackType

API = "services/cernvm/api/v1"

STARTED = 420
"""Seconds for a start under emulation, with other machines beside it."""


class Person:
    """One account of the hub, with a token of its own.

    Parameters
    ----------
    url
        The hub's public URL.
    name, password
        The account.
    """

    def __init__(self, url: str, name: str, password: str) -> None:
        self.url = url
        self.name = name
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as browser:
            browser.get("hub/login", follow_redirects=True).raise_for_status()
            form = {"username": name, "password": password, "_xsrf": browser.cookies["_xsrf"]}
            answer = browser.post("hub/login", data=form)
            assert answer.status_code == httpx.codes.FOUND, "the password is not accepted"
            browser.get("hub/token", follow_redirects=True).raise_for_status()
            answer = browser.post(
                f"hub/api/users/{name}/tokens",
                json={"note": "end-to-end tests", "expires_in": 7200},
                headers={"X-XSRFToken": browser.cookies["_xsrf"], "Referer": f"{url}hub/token"},
            )
            answer.raise_for_status()
            self.token = answer.json()["token"]
        self.http = httpx.Client(
            base_url=url, headers={"Authorization": f"token {self.token}"}, trust_env=False, timeout=60
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    # --- the hub: the default server, or one with a name ---

    def start(self, options: dict[str, Any], name: str = "") -> None:
        """Ask for a server."""
        answer = self.http.post(self._of(name), json={"user_options": options})
        assert answer.status_code in {httpx.codes.CREATED, httpx.codes.ACCEPTED}, answer.text

    def _of(self, name: str) -> str:
        return f"hub/api/users/{self.name}/" + (f"servers/{name}" if name else "server")

    def server(self, name: str = "") -> dict[str, Any] | None:
        """Return the hub's record of a server that is not stopped; None when there is none."""
        return self._servers(stopped=False).get(name)

    def knows(self, name: str) -> bool:
        """Say whether the hub has a record of a server, be it stopped."""
        return name in self._servers(stopped=True)

    def _servers(self, *, stopped: bool) -> dict[str, dict[str, Any]]:
        answer = self.http.get(
            f"hub/api/users/{self.name}", params={"include_stopped_servers": ""} if stopped else {}
        )
        answer.raise_for_status()
        found: dict[str, dict[str, Any]] = answer.json()["servers"]
        return found

    def progress(self, name: str = "") -> list[dict[str, Any]]:
        """Follow the start to its end and return what the progress page would have shown."""
        events = []
        with self.http.stream("GET", f"{self._of(name)}/progress", timeout=STARTED) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    events.append(json.loads(line.removeprefix("data:")))
                    if events[-1].get("ready") or events[-1].get("failed"):
                        break
        assert events, "no progress"
        assert events[-1].get("ready"), events[-1]
        return events

    def stop(self, name: str = "") -> None:
        """End a server, and return when it is gone."""
        answer = self.http.delete(self._of(name))
        assert answer.status_code in {httpx.codes.NO_CONTENT, httpx.codes.ACCEPTED}, answer.text
        until(lambda: self.server(name) is None, 120, f"the server {name!r} of {self.name} is gone")

    def begin_to_end(self, name: str = "", *, remove: bool = False) -> None:
        """Ask for a server's end, or its deletion, and do not stay for the answer."""
        with contextlib.suppress(httpx.ReadTimeout):
            self.http.request("DELETE", self._of(name), json={"remove": remove}, timeout=1)

    def remove(self, name: str) -> None:
        """Delete a named server, with all that belongs to it."""
        answer = self.http.request("DELETE", self._of(name), json={"remove": True})
        assert answer.status_code in {httpx.codes.NO_CONTENT, httpx.codes.ACCEPTED}, answer.text

    # --- the notebook server, through the proxy ---

    def notebook(self, method: str, path: str, server: str = "", **arguments: Any) -> httpx.Response:
        """Ask a notebook server in its machine."""
        place = f"user/{self.name}/{server}/api" if server else f"user/{self.name}/api"
        answer = self.http.request(method, f"{place}/{path}", **arguments)
        answer.raise_for_status()
        return answer

    def kernel(self) -> str:
        """Start a kernel and return its id."""
        return str(self.notebook("POST", "kernels", json={"name": "python3"}).json()["id"])

    def kernels(self) -> list[str]:
        """Return the ids of the kernels that run."""
        return [kernel["id"] for kernel in self.notebook("GET", "kernels").json()]

    def execute(self, kernel: str, code: str, host: str = "") -> str:
        """Run code in a kernel and return what it printed; `host` is the name that a browser would ask."""
        return kernel_connection.execute(self.url, self.token, self.name, kernel, code, host=host)

    def save(self, path: str, text: str) -> None:
        """Save a file in the home."""
        self.notebook("PUT", f"contents/{path}", json={"type": "file", "format": "text", "content": text})

    def read(self, path: str) -> str:
        """Read a file of the home."""
        return str(self.notebook("GET", f"contents/{path}").json()["content"])

    # --- the controller ---

    def machines(self) -> list[dict[str, Any]]:
        """Return the machines that this person sees."""
        answer = self.http.get(f"{API}/machines")
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    def machine(self, server: str = "") -> dict[str, Any]:
        """Return the machine of a server."""
        mine = [each for each in self.machines() if each["owner"] == self.name]
        [found] = [each for each in mine if each["server_name"] == server]
        return found

    def homes(self) -> list[dict[str, Any]]:
        """Return this person's homes."""
        answer = self.http.get(f"{API}/volumes", params={"kind": "home", "owner": self.name})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    def delete_homes(self) -> None:
        """Delete every home of this person, and return when they are gone."""
        for home in self.homes():
            answer = self.http.delete(f"{API}/volumes/{home['id']}")
            assert answer.is_success, answer.text
        until(lambda: not self.homes(), 60, f"the homes of {self.name} are gone")
