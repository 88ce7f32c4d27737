"""Secrets of a seed are hidden before anyone sees them, and come back where they were left alone."""

from __future__ import annotations

import time

import pytest
import yaml

from compute.errors import InvalidInput
from kvm.cloud_init import structured, user_data
from kvm.seed_mask import hide, reveal
from tests.attacks.catalogue import attack
from tests.live import strain

TEXT = """#cloud-config
password: correct horse battery
ssh_pwauth: true
users:
  - default
  - {name: ann, passwd: "$6$salt$hash.x/y", lock_passwd: false}
chpasswd:
  expire: false
  list: |
    root:s3cret-1
    ann:s3cret-2
write_files:
  - path: /etc/key
    content: |
      -----BEGIN OPENSSH PRIVATE KEY-----
      c2VjcmV0LTM=
      -----END OPENSSH PRIVATE KEY-----
  - {path: /etc/app.env, content: "API_TOKEN=s3cret-4 DEBUG=1"}
ssh_keys:
  rsa_private: |
    s3cret-5
runcmd:
  - echo root:s3cret-6 | chpasswd
  - curl https://me:s3cret-7@example.org/x
"""


@attack("S77", "passwords and keys in cloud-init", refused="masked")
def test_no_secret_is_seen_and_the_text_stays_yaml() -> None:
    shown, secrets = hide(TEXT)
    for secret in ("correct", "salt", "c2VjcmV0", *(f"s3cret-{n}" for n in (1, 2, 4, 5, 6, 7))):
        assert secret not in shown, shown
    assert "lock_passwd: false" in shown and "expire: false" in shown and "ssh_pwauth: true" in shown
    assert yaml.safe_load(shown)["password"] == "<hidden:1>"
    assert reveal("user_data", shown, secrets) == TEXT
    edited = shown.replace("ssh_pwauth: true\n", "").replace("users:", "timezone: UTC\nusers:")
    assert "correct horse battery" in reveal("user_data", edited, secrets)


def test_a_script_keeps_its_shape() -> None:
    shown, secrets = hide("#!/bin/sh\nexport DB_PASSWORD='a b' X=1\nTOKEN=abc; run\n")
    assert shown == "#!/bin/sh\nexport DB_PASSWORD='<hidden:1>' X=1\nTOKEN=<hidden:2>; run\n"
    assert secrets == ["a b", "abc"]


def test_single_fields_hide_and_take_back_too() -> None:
    given = {"users": [{"name": "ann", "plain_text_passwd": "s3cret"}], "packages": ["nginx"]}
    shown, secrets = hide(user_data(given))
    fields = structured(shown)
    assert fields == {"users": [{"name": "ann", "plain_text_passwd": "<hidden:1>"}], "packages": ["nginx"]}
    assert reveal("users", fields["users"], secrets) == given["users"]


def test_what_was_never_hidden_cannot_come_back() -> None:
    with pytest.raises(InvalidInput) as refused:
        reveal("user_data", "#!/bin/sh\nx=<hidden:3>\n", ["a"])
    assert refused.value.details["fields"]["user_data"].startswith("line 2: <hidden:3>")


@attack("S51 S61", "cloud-init texts made to cost", refused="answered at once")
@pytest.mark.parametrize(
    "piece", ["a", "echo x", "-----BEGIN PRIVATE KEY-----", "password", "://a:", "pass:\n "]
)
def test_hostile_texts_take_no_time(piece: str) -> None:
    begun = time.monotonic()
    hide(piece * (65536 // len(piece)))
    assert time.monotonic() - begun < 3 * strain()
