"""A config is stored as it was checked, and checked again whenever it is used."""

from __future__ import annotations

from typing import Any

import pytest

from compute.errors import InvalidInput
from dockerapp.engine.spec import config_check


@pytest.mark.parametrize(
    "config",
    [
        {"ports": ["80", "8080:80/tcp", "127.0.0.1:53:53/udp", "127.0.0.1::443"]},
        {"restart_policy": "always"},
        {"restart_policy": {"policy": "on-failure", "maximum_retry_count": 3}},
        {"health_check": {"test": "curl -f http://localhost", "interval": 1.5, "retries": 2}},
        {"health_check": {"test": ["CMD", "true"]}},
        {"devices": ["/dev/fuse", "/dev/kvm:/dev/kvm:rw"]},
        {"capabilities": {"add": ["net_admin"], "drop": ["ALL"]}},
        {"gpus": "all", "volumes": ["data:/data:ro", "/srv:/srv"], "tmpfs": ["/tmp"]},
    ],
)
def test_checking_twice_changes_nothing(config: dict[str, Any]) -> None:
    once = config_check({"image": "demo", **config}, allow_root_equivalent=True)
    assert config_check(once, allow_root_equivalent=True) == once


@pytest.mark.parametrize(
    "value", [7, [], True, {"Name": "always"}, {"policy": ["no"]}, {"policy": "no", "x": 1}]
)
def test_a_restart_policy_of_another_shape_is_a_field_error(value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        config_check({"image": "demo", "restart_policy": value}, allow_root_equivalent=True)
    assert all(name.startswith("config.restart_policy") for name in refused.value.details["fields"])


def test_a_health_check_that_would_never_run_is_refused() -> None:
    with pytest.raises(InvalidInput, match="CMD-SHELL"):
        config_check({"image": "demo", "health_check": {"test": ["true"]}}, allow_root_equivalent=True)
