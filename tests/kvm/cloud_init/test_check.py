"""What a guest is told is read before it is written: bad text names its line."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from compute.errors import InvalidInput
from kvm.cloud_init import cloud_init_check, meta_data, structured, user_data
from tests.attacks.catalogue import attack

INSTANCE = "6f1c7a52-8a50-4a6e-9d0f-0d6c4b0d7c11"
NAME = "config.cloud_init"
BOMB = "#cloud-config\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{of}'] * 9)}]\n" for of, name in zip("abcdef", "bcdefg", strict=True)
)


def _refused(**given: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refused:
        cloud_init_check(NAME, given)
    return dict(refused.value.details["fields"])


def test_user_data_is_composed_from_the_single_fields() -> None:
    given = {"ssh_keys": ["ssh-ed25519 AAAA me"], "packages": ["nginx"], "run_commands": ["true"]}
    text = user_data(cloud_init_check(NAME, given))
    assert text.startswith("#cloud-config\n")
    assert yaml.safe_load(text) == {
        "ssh_authorized_keys": ["ssh-ed25519 AAAA me"],
        "packages": ["nginx"],
        "runcmd": ["true"],
    }
    assert structured(text) == given, "and can be told apart again"


def test_users_keep_the_default_one() -> None:
    given = {"users": [{"name": "ann", "lock_passwd": False}], "hostname": "web"}
    text = user_data(given)
    assert yaml.safe_load(text)["users"][0] == "default"
    assert structured(text) == given
    assert structured("#cloud-config\nswap: {size: 0}\n") is None, "more than our fields can say"
    assert structured("#!/bin/sh\n") is None


def test_metadata_gets_what_is_missing() -> None:
    assert "local-hostname: my-vm-1" in meta_data({}, INSTANCE, "my_vm.1")
    given = {"meta_data": "local-hostname: own # mine\n"}
    assert yaml.safe_load(meta_data(given, INSTANCE, "x")) == {
        "instance-id": INSTANCE,
        "local-hostname": "own",
    }
    assert "# mine" in meta_data(given, INSTANCE, "x")
    assert yaml.safe_load(meta_data({"meta_data": '{"a": 1}'}, INSTANCE, "x"))["instance-id"] == INSTANCE
    both = {"user_data": "#!/bin/sh\n", "ssh_keys": ["ssh-ed25519 AAAA me"]}
    assert yaml.safe_load(meta_data(both, INSTANCE, "x"))["public-keys"] == ["ssh-ed25519 AAAA me"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("runcmd: [true]\n", 1),
        ("#cloud-config\npackages:\n  - a\n b: [\n", 4),
        ("#cloud-config\nruncmd: [a]\nhostname: x\nruncmd: [b]\n", 4),
        ("#cloud-config\n\nruncmd: reboot\n", 3),
        ("#cloud-config\nhostname: !!python/object/apply:os.system [id]\n", 2),
        ("#cloud-config\n- a\n", 2),
        ("#cloud-config\na: &a [*a]\n", 2),
        ("#cloud-config\nwhen: 2001-99-99\n", 1),
        ("#cloud-config\n? [a]\n: b\n", 2),
        ("#cloud-config\na: " + "[" * 40 + "]" * 40 + "\n", 2),
        ("#cloud-config\na: b\nc: \x07\n", 3),
        (BOMB, None),
    ],
)
def test_what_a_guest_could_not_read_names_its_line(text: str, line: int | None) -> None:
    fields = _refused(user_data=text)
    assert list(fields) == [f"{NAME}.user_data"]
    assert fields[f"{NAME}.user_data"].startswith("line " if line is None else f"line {line}: "), fields


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\necho 'a: [b'\n",
        "#cloud-config\n",
        "#cloud-config\nusers: [default, {name: ann}]\nruncmd:\n  - [ls, -l]\n",
        "#include\nhttps://example.org/x\n",
        "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x--\n",
        "## template: jinja\n#cloud-config\nruncmd: [echo {{ v1.instance_id }}]\n",
        "#cloud-config\nx: &k {a: 1}\ny: *k\n",
    ],
)
def test_every_kind_of_user_data_passes(text: str) -> None:
    assert cloud_init_check(NAME, {"user_data": text})["user_data"] == text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("version: 3\n", "line 1: “version” must be 1 or 2."),
        ("[]", "line 1: must be a mapping"),
        ("version: 1\nethernets: {}\n", "line 1: version 1 needs"),
        ("version: 1\nconfig:\n  - name: eth0\n", "line 2: each entry"),
        ("network:\n  version: 2\nethernets: []\n", ""),
        ("version: 2\nethernets: [eth0]\n", "line 2: “ethernets” must name"),
        ("version: 2\nconfig: []\n", "line 2: “config” belongs to version 1"),
    ],
)
def test_network_config_is_looked_at(text: str, what: str) -> None:
    if not what:
        assert cloud_init_check(NAME, {"network_config": text}), "a foreign key beside it is no harm"
        return
    assert _refused(network_config=text)[f"{NAME}.network_config"].startswith(what)


@attack("S61", "fields of cloud-init that hold structure", refused="400 naming the field")
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"hostname": "-x-"}, "hostname"),
        ({"users": ["a b"]}, "users"),
        ({"users": [{"groups": "wheel"}]}, "users"),
        ({"ssh_keys": ["AAAA"]}, "ssh_keys"),
        ({"ssh_keys": ["ssh-ed25519 AAAA\nevil: 1"]}, "ssh_keys"),
        ({"write_files": [{"path": "etc/x"}]}, "write_files"),
        ({"write_files": [{"path": "/x", "mode": 1}]}, "write_files"),
        ({"run_commands": [{"a": 1}]}, "run_commands"),
        ({"packages": [""]}, "packages"),
        ({"meta_data": "- a\n"}, "meta_data"),
        ({"meta_data": "a: [\n"}, "meta_data"),
        ({"user_data": "#!/bin/sh\n", "packages": ["x"]}, "packages"),
        ({"user_data": "#!/bin/sh\n" + "x" * 70_000}, "user_data"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_field_is_named(given: dict[str, Any], field: str) -> None:
    assert list(_refused(**given)) == [f"{NAME}.{field}"]
