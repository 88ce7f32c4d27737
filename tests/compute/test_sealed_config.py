"""Secret variables in the mirror and in operations: sealed, and opened where they are used."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from compute import sealing
from compute.backends.types import InstanceInfo
from compute.execution.mirror import instances_observe
from compute.models import Event, Instance, Node, Operation, Project
from compute.selectors import sealed_config
from compute.selectors.masking import MASK, config_masked
from compute.selectors.sealed_config import config_opened, config_resealed, config_sealed
from compute.states import InstanceState, InstanceType

CONFIG = {
    "image": "web",
    "env": {
        "MODE": "fast",
        "DB_PASSWORD": "hunter2",
        "DB": "postgres://app:hunter2@db/app",
        "EMPTY_TOKEN": "",
    },
    "log_options": {"max-size": "1m", "splunk-token": "hunter2"},
}


@pytest.fixture
def other_key(settings: Any) -> Any:
    """A process that was started with another key: it has opened nothing yet."""

    def forget() -> None:
        sealing._keys.cache_clear()
        sealed_config._digest_of_sealed.cache_clear()

    def change() -> None:
        settings.SECRET_KEY = "y" * 40
        forget()

    yield change
    forget()


def test_secrets_are_sealed_and_the_rest_is_left_as_it_is() -> None:
    kept = config_sealed(CONFIG)
    assert "hunter2" not in str(kept)
    assert kept["image"] == "web" and kept["env"]["MODE"] == "fast" and kept["env"]["EMPTY_TOKEN"] == ""
    assert kept["log_options"]["max-size"] == "1m"
    assert config_opened(kept) == CONFIG
    assert config_sealed(kept) == kept


def test_answers_mask_the_same_sealed_or_not() -> None:
    shown = config_masked(config_sealed(CONFIG))
    assert shown == config_masked(CONFIG)
    assert [shown["env"][name] for name in ("MODE", "DB_PASSWORD", "DB")] == ["fast", MASK, MASK]
    assert shown["log_options"] == {"max-size": "1m", "splunk-token": MASK}


def test_what_says_the_same_stays_as_it_is_kept() -> None:
    kept = config_sealed(CONFIG)
    assert config_resealed(kept, CONFIG) == kept
    changed = {**CONFIG, "env": {**CONFIG["env"], "DB_PASSWORD": "other"}}  # type: ignore[dict-item]
    assert config_opened(config_resealed(kept, changed)) == changed
    assert "hunter2" not in str(config_resealed(CONFIG, CONFIG)), "what lies open is sealed at the next look"


def test_what_was_opened_once_is_not_opened_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = config_sealed(CONFIG)
    assert config_resealed(kept, CONFIG) == kept

    def opened(_: str) -> None:
        raise AssertionError("a secret was opened again")

    monkeypatch.setattr(sealed_config, "unseal", opened)
    assert config_resealed(kept, CONFIG) == kept


def _info() -> InstanceInfo:
    return InstanceInfo(
        "e1", "web", InstanceType.CONTAINER, InstanceState.RUNNING, "Up", instance_id="", config=CONFIG
    )


@pytest.mark.django_db
def test_seeing_the_same_again_writes_nothing(fake_node: Node, project: Project, other_key: Any) -> None:
    instances_observe(fake_node, [_info()])
    row = Instance.objects.get()
    assert "hunter2" not in str(row.config)
    instances_observe(fake_node, [_info()])
    again = Instance.objects.get()
    assert (again.updated_at, again.config) == (row.updated_at, row.config)
    assert Event.objects.count() == 1
    other_key()
    instances_observe(fake_node, [_info()])
    row.refresh_from_db()
    assert row.config != again.config and config_opened(row.config) == CONFIG, "mended by the next look"


@pytest.mark.django_db
def test_the_migration_seals_what_lay_open_and_opens_it_again(fake_node: Node, project: Project) -> None:
    instances_observe(fake_node, [_info()])
    Instance.objects.update(config=CONFIG)
    made = Operation.objects.create(action="instance.create", params={"config": CONFIG, "labels": {}})
    other = Operation.objects.create(action="instance.stop", params={"timeout": 3})
    migration = importlib.import_module("compute.migrations.0028_sealed_variables")
    editor = SimpleNamespace(connection=connection)
    migration.forwards(apps, editor)
    row = Instance.objects.get()
    made.refresh_from_db()
    other.refresh_from_db()
    assert "hunter2" not in f"{row.config} {made.params}" and other.params == {"timeout": 3}
    assert config_opened(row.config) == config_opened(made.params["config"]) == CONFIG
    migration.backwards(apps, editor)
    made.refresh_from_db()
    assert Instance.objects.get().config == made.params["config"] == CONFIG
