"""Somebody who uses the hub by its REST API, as a script of theirs would."""

from __future__ import annotations

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

    # --- the hub ---

    def start(self, options: dict[str, Any]) -> None:
        """Ask for the default server."""
        answer = self.http.post(f"hub/api/users/{self.name}/server", json={"user_options": options})
        assert answer.status_code in {httpx.codes.CREATED, httpx.codes.ACCEPTED}, answer.text

    def server(self) -> dict[str, Any] | None:
        """Return the hub's record of the default server; None when there is none."""
        answer = self.http.get(f"hub/api/users/{self.name}")
        answer.raise_for_status()
        found: dict[str, Any] | None = answer.json()["servers"].get("")
        return found

    def progress(self) -> list[dict[str, Any]]:
        """Follow the start to its end and return what the progress page would have shown."""
        events = []
        path = f"hub/api/users/{self.name}/server/progress"
        with self.http.stream("GET", path, timeout=STARTED) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    events.append(json.loads(line.removeprefix("data:")))
                    if events[-1].get("ready") or events[-1].get("failed"):
                        break
        assert events, "no progress"
        assert events[-1].get("ready"), events[-1]
        return events

    def stop(self) -> None:
        """End the default server, and return when it is gone."""
        answer = self.http.delete(f"hub/api/users/{self.name}/server")
        assert answer.status_code in {httpx.codes.NO_CONTENT, httpx.codes.ACCEPTED}, answer.text
        until(lambda: self.server() is None, 120, f"the server of {self.name} is gone")

    # --- the notebook server, through the proxy ---

    def notebook(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Ask the notebook server in the machine."""
        answer = self.http.request(method, f"user/{self.name}/api/{path}", **arguments)
        answer.raise_for_status()
        return answer

    def kernel(self) -> str:
        """Start a kernel and return its id."""
        return str(self.notebook("POST", "kernels", json={"name": "python3"}).json()["id"])

    def kernels(self) -> list[str]:
        """Return the ids of the kernels that run."""
        return [kernel["id"] for kernel in self.notebook("GET", "kernels").json()]

    def execute(self, kernel: str, code: str, deadline: float = 120) -> str:
        """Run code in a kernel and return what it printed."""
        return kernel_connection.execute(self.url, self.token, self.name, kernel, code, deadline=deadline)

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

    def machine(self) -> dict[str, Any]:
        """Return the machine of the default server."""
        [found] = [each for each in self.machines() if each["owner"] == self.name]
        return found

    def delete_homes(self) -> None:
        """Delete every home of this person, and return when they are gone."""

        def homes() -> list[dict[str, Any]]:
            answer = self.http.get(f"{API}/volumes", params={"kind": "home", "owner": self.name})
            answer.raise_for_status()
            found: list[dict[str, Any]] = answer.json()["items"]
            return found

        for home in homes():
            answer = self.http.delete(f"{API}/volumes/{home['id']}")
            assert answer.is_success, answer.text
        until(lambda: not homes(), 60, f"the homes of {self.name} are gone")
