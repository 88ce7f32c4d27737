"""What versions and settings of an engine give reason to say."""

from __future__ import annotations

import pytest

from dockerapp.engine.advice import engine_advice
from tests.attacks.catalogue import attack


@attack("S49", "an engine with known faults", refused="told on the node")
@pytest.mark.parametrize("version", ["19.03.15", "20.10.8", "20.10.9", "23.0.2", "24.0.8", "25.0.1"])
def test_versions_with_known_faults_are_told(version: str) -> None:
    advice = engine_advice(version, live_restore=True)
    assert len(advice) >= 2 and all(version in text and "CVE-" in text for text in advice)


@attack(
    "S49",
    "an engine that runs a container's own unpigz on a compressed archive",
    refused="told on the node, as is the version that does not: 29.5.1",
)
@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "23.0.3", "24.0.9", "25.0.2", "28.5.2", "29.5.0"])
def test_versions_that_run_a_containers_unpacker_are_told(version: str) -> None:
    (advice,) = engine_advice(version, live_restore=True)
    assert "older than 29.5.1" in advice and "CVE-2026-41567" in advice


@pytest.mark.parametrize("version", ["29.5.1", "29.6.0", "30.0.0-rc.1", "odd", ""])
def test_others_are_not(version: str) -> None:
    assert engine_advice(version, live_restore=True) == []


def test_live_restore_is_advised_to_docker_only() -> None:
    assert "live-restore" in engine_advice("29.5.1", live_restore=False)[0]
    assert engine_advice("4.3.1", live_restore=False, engine="podman") == []
