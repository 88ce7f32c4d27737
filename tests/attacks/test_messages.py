"""What somebody who reaches the broker could make workers do, on a whole console."""

from __future__ import annotations

import base64
import json
import os
import pickle
import uuid
from pathlib import Path
from typing import Any

import redis

from tests.attacks.catalogue import attack
from tests.live import LiveConsole, until

_QUEUE = "libgo"


class _Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def _message(task: str, body: bytes, content_type: str = "application/json") -> bytes:
    """As Celery's transport over Redis lays it into the queue."""
    word = str(uuid.uuid4())
    way = {"exchange": "", "routing_key": _QUEUE}
    told = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "binary" if "python" in content_type else "utf-8",
        "content-type": content_type,
        "headers": {"lang": "py", "task": task, "id": word, "root_id": word, "parent_id": None},
        "properties": {
            "correlation_id": word,
            "delivery_mode": 2,
            "delivery_info": way,
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": word,
        },
    }
    return json.dumps(told).encode()


def _call(task: str, *args: Any) -> bytes:
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return _message(task, json.dumps([args, {}, embedded]).encode())


def _forged(bomb: _Bomb, ended: str) -> list[bytes]:
    """Foreign codes, tasks that are none, and tasks about operations that are over or nobody's."""
    command = f"mkdir {bomb.path}"
    pickled = pickle.dumps(((bomb,), {}, {}))
    codes = ("application/x-python-serialize", "application/x-yaml", "application/data")
    messages = [_message("compute.tasks.operation_run", pickled, code) for code in codes]
    messages += [_call(task, command) for task in ("os.system", "subprocess.run", "celery.backend_cleanup")]
    messages.append(_call("celery.map", {"task": "os.system"}, [[command]]))
    for task in ("operation_run", "operation_recover", "undo_finish"):
        for target in (ended, str(uuid.uuid4()), "../../x", 7, None, {"id": ended}, [command]):
            messages.append(_call(f"compute.tasks.{task}", target))
    return messages


@attack(
    "S88",
    "messages in the broker's queue: pickled code, tasks that are none, tasks about what is over or nobody's",
    refused="nothing is unpickled, run or changed; the worker goes on",
)
def test_a_forged_message_makes_no_worker_do_anything(live: LiveConsole, name: str, tmp_path: Path) -> None:
    made = live.create(name, "docker", config={"image": "libgo/demo:latest", "network_mode": "none"})
    operation = live.get(f"/operations?instance={made['id']}")["items"][0]
    worker, bomb = live.pid("worker"), _Bomb(tmp_path / "pickled")
    broker = redis.Redis(unix_socket_path=str(live.var / "run" / "broker.sock"))
    for message in _forged(bomb, operation["id"]):
        broker.lpush(_QUEUE, message)
    until(lambda: broker.llen(_QUEUE) == 0, "all are taken", 60)
    # Comes after them, by the same queue.
    stopped = live.api("PUT", f"/compute/instances/{name}/stop?wait=60", {"timeout": 1})
    assert stopped.status_code == 200, stopped.text
    assert not bomb.path.exists()
    assert live.pid("worker") == worker
    assert live.get(f"/operations/{operation['id']}") == operation
