"""A build has an end: it may take so long, and no longer."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import pytest

from compute.backends.types import NodeConfig
from compute.errors import BackendTimeout
from dockerapp.backend import DockerBackend
from dockerapp.engine.build import BuildSpec, build_undo, context_of
from tests.attacks.catalogue import attack
from tests.live import strain
from tests.reporter import MemoryReporter


@attack(
    "S46",
    "a build that sleeps for longer than a build may take",
    refused="given up at docker.buildTimeout, its reason told; nothing of it is left",
)
def test_a_build_that_takes_too_long_is_given_up(engines: None) -> None:
    tag = f"libgo-t-{uuid.uuid4().hex[:8]}:1"
    node = NodeConfig("t-docker", "docker", "docker", "unix:///var/run/docker.sock")
    backend = DockerBackend(replace(node, build_timeout_s=3.0))
    text = f"FROM libgo/demo:latest\nENV a={tag}\nRUN echo begun; sleep 300\n"
    report, began = MemoryReporter(), time.monotonic()
    try:
        with pytest.raises(BackendTimeout, match="docker.buildTimeout"):
            backend.images.build(BuildSpec(tag=tag, dockerfile="Dockerfile"), report, body=[context_of(text)])
        assert time.monotonic() - began < 60 * strain()
        for step in reversed(report.steps):
            build_undo(backend.images._client, step)
        assert tag not in str([image.name for image in backend.images.list()])
    finally:
        backend.close()
