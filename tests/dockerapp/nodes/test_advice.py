"""What versions and settings of an engine give reason to say."""

from __future__ import annotations

import pytest

from dockerapp.engine.advice import engine_advice
from tests.attacks.catalogue import attack


@attack("S49", "an engine with known faults", refused="told on the node")
@pytest.mark.parametrize("version", ["19.03.15", "20.10.8", "20.10.9", "23.0.2", "24.0.8", "25.0.1"])
def test_versions_with_known_faults_are_told(version: str) -> None:
    advice = engine_advice(version, live_restore=True)
    assert len(advice) == 1 and version in advice[0] and "CVE-" in advice[0]


@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "23.0.3", "24.0.9", "25.0.2", "28.1.0", "odd", ""])
def test_others_are_not(version: str) -> None:
    assert engine_advice(version, live_restore=True) == []


def test_live_restore_is_advised_to_docker_only() -> None:
    assert "live-restore" in engine_advice("28.0.0", live_restore=False)[0]
    assert engine_advice("4.3.1", live_restore=False, engine="podman") == []
