"""What a guest is told may hold secrets: none of it lies readable in the database."""

from __future__ import annotations

import pytest

from compute.actor import Actor
from compute.models import Node, Project
from kvm.selectors.cloud_init import create_secrets
from kvm.services.guard import config_guard
from tests.attacks.catalogue import attack

SECRET = "correct horse battery"


@attack("S76", "cloud-init's secrets in the row of the operation", refused="sealed")
@pytest.mark.django_db
def test_a_create_keeps_it_sealed_until_the_worker_asks() -> None:
    actor = Actor(None, "root", True)
    given = {"user_data": f"#!/bin/sh\necho {SECRET} | passwd\n", "hostname": "web"}
    config = config_guard(actor, Project(), Node(), {"image": "x", "cloud_init": given})
    assert SECRET not in repr(config)
    assert config["cloud_init"]["fields"] == ["hostname", "user_data"]
    assert config_guard(actor, Project(), Node(), config) == config, "sealing twice changes nothing"
    assert create_secrets(Node(), None, config) == {"cloud_init": given}
    assert create_secrets(Node(), None, {"image": "x"}) == {}
