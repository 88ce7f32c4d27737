"""libgo.yaml and the environment: what is taken, what is refused and how clearly."""

from __future__ import annotations

from pathlib import Path

import pytest

from libgo_site.config import ConfigError, config_load

ROOT = Path(__file__).resolve().parent.parent.parent


def _load(tmp_path: Path, text: str, **environ: str) -> dict[str, dict[str, object]]:
    path = tmp_path / "libgo.yaml"
    path.write_text(text)
    return config_load(path, environ)


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    config = config_load(tmp_path / "absent.yaml", {})
    assert config["docker"]["host"] == "unix:///var/run/docker.sock"
    assert config["compute"]["resource_limits"]["max_instances"] == 0


def test_the_old_names_and_durations_are_read(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        "docker:\n  requestTimeout: 45s\n  retryDelay: 500ms\nlibvirt:\n  virtType: qemu\n"
        "compute:\n  resourceLimits:\n    maxCPUCores: 8\n",
    )
    assert (config["docker"]["request_timeout_s"], config["docker"]["retry_delay_s"]) == (45.0, 0.5)
    assert config["libvirt"]["virt_type"] == "qemu"
    assert config["compute"]["resource_limits"] == {
        "max_instances": 0,
        "max_cpu_cores": 8.0,
        "max_memory_gb": 0.0,
        "max_storage_gb": 0.0,
    }


def test_the_environment_wins(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        "docker:\n  enabled: true\n",
        LIBGO_DOCKER_ENABLED="false",
        LIBGO_COMPUTE_MAX_INSTANCES="7",
        LIBGO_VIRT_TYPE="kvm",
        DOCKER_HOST="tcp://10.0.0.1:2376",
    )
    assert config["docker"]["enabled"] is False and config["docker"]["host"] == "tcp://10.0.0.1:2376"
    assert config["libvirt"]["virt_type"] == "kvm"
    assert config["compute"]["resource_limits"]["max_instances"] == 7  # type: ignore[index]


@pytest.mark.parametrize("text", ["[docker.io, '*.example.com']", "docker.io, *.example.com"])
def test_registries_are_a_list_or_words_with_commas(tmp_path: Path, text: str) -> None:
    config = _load(tmp_path, f"docker:\n  allowedRegistries: {text}\n")
    assert config["docker"]["allowed_registries"] == ["docker.io", "*.example.com"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("dokcer:\n  enabled: true\n", ":1:", "not a section"),
        ("docker:\n  enabled: true\n  hots: x\n", ":3:", "apiVersion"),
        ("docker:\n  requestTimeout: soon\n", ":2:", "30s"),
        ("docker:\n  enabled: perhaps\n", ":2:", "true or false"),
        ("libvirt:\n  virtType: xen\n", ":2:", "auto | kvm | qemu"),
        ("compute:\n  resourceLimits:\n    maxInstances: -1\n", ":3:", "whole number"),
        ("docker:\n  allowedRegistries: {a: b}\n", ":2:", "a list of names"),
        ("docker: [1, 2]\n", ":1:", "must hold keys"),
        ("docker:\n  enabled: [\n", ":3:", "YAML"),
        ("- a\n", "", "must hold sections"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_its_line_and_what_is_accepted(
    tmp_path: Path, text: str, line: str, words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        _load(tmp_path, text)
    assert f"libgo.yaml{line}" in str(refused.value) and words in str(refused.value)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="LIBGO_DOCKER_REQUEST_TIMEOUT"):
        _load(tmp_path, "", LIBGO_DOCKER_REQUEST_TIMEOUT="never")


def test_the_example_is_valid_and_documents_every_key(tmp_path: Path) -> None:
    example = ROOT / "libgo.yaml.example"
    config = config_load(example, {})
    assert config == config_load(tmp_path / "absent.yaml", {}), "the example shows the defaults"
    text = example.read_text()
    for (
        key
    ) in "enabled host apiVersion tlsVerify tlsCertPath tlsKeyPath tlsCaPath requestTimeout virtType".split():
        assert f"{key}:" in text


def test_lifetimes_take_days_and_groups_take_roles(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        "access:\n  refreshTokenLifetime: 30d\n  secondFactor: admins\n"
        "ldap:\n  uri: ldaps://ldap.example.org\n  baseDn: dc=example,dc=org\n"
        "  groups:\n    admins: admin\n    web team: operator in web\n",
        LIBGO_LDAP_BIND_PASSWORD="secret",
        LIBGO_OIDC_GROUPS='{"auditors": "viewer"}',
    )
    assert config["access"]["refresh_token_lifetime_s"] == 30 * 86400
    assert config["ldap"]["bind_password"] == "secret"
    assert config["ldap"]["groups"] == [
        {"group": "admins", "role": "admin", "project": ""},
        {"group": "web team", "role": "operator", "project": "web"},
    ]
    assert config["oidc"]["groups"] == [{"group": "auditors", "role": "viewer", "project": ""}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("access:\n  sessionLifetime: 2y\n", "30s to 400d"),
        ("access:\n  secondFactor: sometimes\n", "optional | admins"),
        ("ldap:\n  groups:\n    x: owner\n", "operator in web"),
        ("ldap:\n  uri: ldaps://host\n", "ldap.baseDn"),
        ("ldap:\n  uri: http://host\n  baseDn: dc=x\n", "ldaps://host"),
        ("ldap:\n  uri: ldaps://host\n  baseDn: dc=x\n  userFilter: (uid=x)\n", "{username}"),
        ("oidc:\n  issuer: https://id.example.org\n", "oidc.clientId"),
        ("oidc:\n  issuer: http://id.example.org\n  clientId: x\n", "https://"),
        ("oidc:\n  issuer: https://id.example.org\n  clientId: x\n  scopes: [email]\n", "openid"),
    ],
)
def test_sign_in_settings_that_cannot_be_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _load(tmp_path, text)
    assert says in str(refused.value)
