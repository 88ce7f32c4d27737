"""Every action that can be asked for has words for people."""

from __future__ import annotations

import dockerapp.handlers
import kvm.handlers
from compute.execution import handlers
from compute.models import Operation
from compute.services.actions import actions_known
from compute.states import ACTION_WORDS, Action, OperationState, action_words


def _single(action: str) -> str:
    """What a bulk action does to each."""
    return action.replace("bulk.", "instance.", 1)


def _registered() -> set[str]:
    parents = {f"bulk.{action.word}" for action in actions_known()} | {"template.instantiate"}
    apps = set(dockerapp.handlers.HANDLERS) | set(kvm.handlers.HANDLERS)
    return {f"instance.{action}" for action in Action} | set(handlers._handlers) | apps | parents


def test_every_action_of_the_registry_has_words() -> None:
    registered = _registered()
    assert len(registered) > 60
    known = {action for action in registered if {action, _single(action)} & set(ACTION_WORDS)}
    assert registered - known == set(), "give it words in states.ACTION_WORDS"
    unsaid = {action for action in registered if set("._") & set(action_words(action))}
    assert unsaid == set()


def test_words_are_not_kept_for_what_is_no_action() -> None:
    assert set(ACTION_WORDS) - _registered() == set()


def test_an_operation_is_told_in_words() -> None:
    pull = Operation(action="image.pull", target="nginx:1.27", state=OperationState.FAILED.value)
    assert pull.told == "Pull image nginx:1.27: failed."
    stop = Operation(action="bulk.stop", target="3 instances", state=OperationState.QUEUED.value)
    assert stop.told == "Stop 3 instances: queued."
