"""Whatever a session starts in a container carries a word in its environment, so it can be found and ended:
the engine leaves processes running when the client of an exec goes away.

While a session lives it is also noted on disk. The notes of a process that was killed tell others what it
left behind.
"""

from __future__ import annotations

import json
import uuid
from functools import partial

from docker import APIClient

from compute.backends.runtime import note_leave, notes_left
from compute.backends.types import NodeConfig
from compute.errors import BackendTimeout, BackendUnavailable, ComputeError
from dockerapp.engine.client import EngineClient

_NAME, _TOPIC = "LIBGO_EXEC", "sessions"
_END_ALL = (
    'for p in /proc/[0-9]*; do if grep -q "$1" "$p/environ" 2>/dev/null; then '
    'kill -HUP "${p#/proc/}" 2>/dev/null; kill -KILL "${p#/proc/}" 2>/dev/null; fi; done'
)


class SessionMark:
    """Of one session in the container ``engine_id``."""

    def __init__(self, node: NodeConfig, engine_id: str) -> None:
        mark = uuid.uuid4().hex
        self.environment = {_NAME: mark}
        self.word = f"{_NAME}={mark}"
        told = {"node": node.id, "engine_id": engine_id, "word": self.word}
        self._note = note_leave(node.runtime_dir, _TOPIC, json.dumps(told))

    @property
    def ending(self) -> list[str]:
        """The command that ends all of it from inside, as root; it needs a shell there."""
        return _ending(self.word)

    def forget(self) -> None:
        """Nothing is left to be ended."""
        self._note.unlink(missing_ok=True)


def sessions_end(client: EngineClient) -> int:
    """End those on this engine whose process was killed; how many. Raises ``BackendUnavailable`` and
    ``BackendTimeout``: they stay noted then."""
    ended = 0
    for note in notes_left(client.node.runtime_dir, _TOPIC):
        told = json.loads(note.read_text())
        if told["node"] != client.node.id:
            continue
        try:
            client.call(partial(_end, told["engine_id"], told["word"]))
        except (BackendUnavailable, BackendTimeout):
            raise
        except ComputeError:
            # The container is gone or stopped, and its processes with it.
            pass
        note.unlink(missing_ok=True)
        ended += 1
    return ended


def _end(engine_id: str, word: str, api: APIClient) -> None:
    killer = api.exec_create(engine_id, _ending(word), user="0")
    api.exec_start(killer["Id"], detach=True)


def _ending(word: str) -> list[str]:
    return ["/bin/sh", "-c", _END_ALL, "sh", word]
