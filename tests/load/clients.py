"""Programs that use the API at once: each does what its choices say and writes down what it was told."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import requests

from tests.load.choices import OWN, Choice
from tests.load.ledger import Ledger
from tests.load.place import DOCKER, KVM
from tests.people import DEMO, MACHINE_DEMO, Caller

_MIB = 1024**2
_TRIES = 60
# When the line broke.
_AGAIN_S = 1.0
Sent = requests.Response | None


class Client:
    """``kind``: ``container`` or ``machine``. It ends after what it does when ``over`` is set."""

    def __init__(
        self, caller: Caller, kind: str, chosen: Iterator[Choice], ledger: Ledger, over: threading.Event
    ) -> None:
        self.name = f"client-{caller.username}"
        self._caller, self._kind, self._chosen = caller, kind, chosen
        self._ledger, self._over = ledger, over
        self._http = requests.Session()
        self._http.trust_env = False
        self._token = caller.token

    def run(self) -> None:
        try:
            while not self._over.is_set():
                choice = next(self._chosen)
                getattr(self, f"_{choice.action}")(choice)
                self._over.wait(choice.pause_s)
        except Exception as error:
            self._ledger.wonder(f"{self.name} gave up: {type(error).__name__}: {error}")
            raise
        finally:
            self._http.close()

    def _name(self, choice: Choice) -> str:
        if choice.slot < OWN or self._kind == "machine":
            return f"libgo-s-{self._caller.username}-{choice.slot % OWN}"
        return f"libgo-s-{self._caller.project}-{choice.slot}"

    def _ask(self, action: str, method: str, path: str, body: Any = None, **more: Any) -> Sent:
        """None when the connection broke: whether it was done is not known."""
        headers = {"Authorization": f"Bearer {self._token}", **more.pop("headers", {})}
        url, began = f"{self._caller.live.url}/api/v1{path}", time.monotonic()
        answer = None
        try:
            answer = self._http.request(method, url, json=body, headers=headers, timeout=100, **more)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            # Somebody killed the web process; the supervisor starts another.
            self._over.wait(_AGAIN_S)
        self._ledger.answered(self._caller.username, action, answer, began)
        return answer

    def _insist(self, action: str, path: str, body: Any) -> Sent:
        """With one key until it is answered: made once, however often the line breaks."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        for _ in range(_TRIES):
            answer = self._ask(action, "POST", path, body, headers=key)
            if answer is not None:
                return answer
            time.sleep(_AGAIN_S / 4)
        self._ledger.wonder(f"{self.name}: no answer to {action} in {_TRIES} tries")
        return None

    def _do(self, choice: Choice, verb: str, body: Any = None) -> None:
        wait = "?wait=60" if choice.waits else ""
        self._ask(verb, "PUT", f"/compute/instances/{self._name(choice)}/{verb}{wait}", body)

    def _create(self, choice: Choice) -> None:
        wait = "?wait=60" if choice.waits else ""
        self._insist("create", f"/compute/instances{wait}", self._body(choice, self._name(choice)))

    def _body(self, choice: Choice, name: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "name": name,
            "project": self._caller.project,
            "labels": {"libgo.test": "storm", "turn": str(choice.many)},
            "auto_start": choice.many % 3 > 0,
        }
        if self._kind == "container":
            config = {"image": DEMO, "network_mode": "none"}
            return {**body, "backend": "docker", "node": DOCKER, "config": config}
        body["auto_start"] = choice.many % 3 == 0
        config = {"image": MACHINE_DEMO, "network": "none"}
        resources = {"memory": {"limit": 128 * _MIB}}
        return {**body, "backend": "kvm", "node": KVM, "config": config, "resources": resources}

    def _start(self, choice: Choice) -> None:
        self._do(choice, "start")

    def _stop(self, choice: Choice) -> None:
        self._do(
            choice, "stop", {"force": True} if choice.many % 2 or self._kind == "machine" else {"timeout": 1}
        )

    def _restart(self, choice: Choice) -> None:
        self._do(choice, "restart")

    def _pause(self, choice: Choice) -> None:
        self._do(choice, "pause")

    def _unpause(self, choice: Choice) -> None:
        self._do(choice, "unpause")

    def _delete(self, choice: Choice) -> None:
        wait = "&wait=60" if choice.waits else ""
        self._ask("delete", "DELETE", f"/compute/instances/{self._name(choice)}?force=true{wait}")

    def _label(self, choice: Choice) -> None:
        labels = {"libgo.test": "storm", "turn": str(choice.many)}
        self._ask("label", "PUT", f"/compute/instances/{self._name(choice)}", {"labels": labels})

    def _exec(self, choice: Choice) -> None:
        body = {"command": ["echo", str(choice.many)], "timeout": 10}
        answer = self._ask("exec", "POST", f"/compute/instances/{self._name(choice)}/exec", body)
        if answer is not None and answer.ok and answer.json()["exit_code"] == 0:
            said = answer.json()["stdout"].strip()
            if said != str(choice.many):
                self._ledger.wonder(f"{self.name}: echo {choice.many} said {said!r}")

    def _logs(self, choice: Choice) -> None:
        self._ask("logs", "GET", f"/compute/instances/{self._name(choice)}/logs?tail=20")

    def _file(self, choice: Choice) -> None:
        path = f"/docker/containers/{self._name(choice)}/files?path=/tmp/storm"
        data = str(choice.many).encode() * 50
        answer = self._ask("file", "PUT", path, data=data)
        if choice.slot < OWN and answer is not None and answer.ok:
            read = self._ask("file", "GET", path)
            if read is not None and read.ok and read.content != data:
                self._ledger.wonder(f"{self.name}: a file came back as {read.content[:80]!r}")

    def _clone(self, choice: Choice) -> None:
        name = f"libgo-s-{self._caller.username}-clone"
        wait = "?wait=60" if choice.waits else ""
        path = f"/compute/instances/{self._name(choice)}/clone{wait}"
        self._insist("clone", path, {"name": name})
        self._ask("delete", "DELETE", f"/compute/instances/{name}?force=true&wait=60")

    def _cancel(self, choice: Choice) -> None:
        answer = self._insist("create", "/compute/instances", self._body(choice, self._name(choice)))
        if answer is not None and answer.ok:
            time.sleep(choice.many % 100 / 500)
            self._ask("cancel", "DELETE", f"/operations/{answer.json()['operation']['id']}")

    def _bulk(self, choice: Choice) -> None:
        action = ("stop", "start", "restart")[choice.many % 3]
        wanted = {"project": self._caller.project, "q": f"libgo-s-{self._caller.username}-"}
        self._insist("bulk", "/compute/instances/bulk?wait=60", {"action": action, "filter": wanted})

    def _volume(self, choice: Choice) -> None:
        name = f"libgo-s-{self._caller.username}-v{choice.slot % OWN}"
        if choice.many % 2:
            where = f"node={DOCKER}&project={self._caller.project}"
            self._ask("volume", "POST", f"/docker/volumes?{where}", {"name": name})
        else:
            self._ask("volume", "DELETE", f"/docker/volumes/{name}?node={DOCKER}")

    def _snapshot(self, choice: Choice) -> None:
        path = f"/compute/instances/{self._name(choice)}/snapshots"
        if choice.many % 2:
            self._ask("snapshot", "POST", f"{path}?wait=60", {"name": f"s{choice.many % 3}"})
        else:
            self._ask("snapshot", "DELETE", f"{path}/s{choice.many % 3}?wait=60")

    def _list(self, choice: Choice) -> None:
        query = ("page_size=500", "state=running", "q=storm", "sort=-created_at&page_size=10")[
            choice.many % 4
        ]
        self._ask("list", "GET", f"/compute/instances?{query}")

    def _read(self, choice: Choice) -> None:
        self._ask("read", "GET", f"/compute/instances/{self._name(choice)}")

    def _look(self, choice: Choice) -> None:
        paths = (
            "/events?limit=50",
            "/operations?page_size=20",
            "/compute/cluster/status",
            "/docker/volumes",
            "/nodes",
            "/docker/images",
            f"/compute/instances/{self._name(choice)}/usage",
        )
        self._ask("look", "GET", paths[choice.many % len(paths)])
