"""What a compose file may ask for, judged on what it resolves to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from dockerapp.engine.compose_model import model_marked
from tests.attacks.catalogue import attack


@pytest.fixture(scope="module")
def backend() -> Iterator[DockerBackend]:
    """No engine is asked by any of these checks, so the address leads nowhere."""
    made = DockerBackend(NodeConfig("nowhere", "nowhere", "docker", "unix:///nonexistent"))
    yield made
    made.close()


def check(backend: DockerBackend, text: str, *, is_admin: bool = False, **env: str) -> Any:
    return backend.stacks.check("t", text, env, is_admin=is_admin)


def service(words: str, rest: str = "") -> str:
    return f"services:\n  web:\n    image: busybox\n    {words}\n{rest}"


DENIED = {
    "privileged: true": "privileged",
    "network_mode: host": "host_network",
    'network_mode: "container:other"': "host_network",
    "pid: host": "host_pid",
    "ipc: host": "host_ipc",
    'ipc: "container:other"': "host_ipc",
    "uts: host": "host_uts",
    "userns_mode: host": "host_user",
    "cgroup: host": "host_cgroup",
    "cgroup_parent: x": "cgroup_parent",
    'volumes: ["/etc:/e"]': "host_path",
    "volumes: [{type: bind, source: /etc, target: /e}]": "host_path",
    'volumes: ["/var/run/docker.sock:/s"]': "engine_socket",
    "devices: [/dev/fuse]": "devices",
    "device_cgroup_rules: ['c 1:3 mr']": "devices",
    "gpus: all": "devices",
    "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}": "devices",
    "cap_add: [SYS_ADMIN]": "added_capabilities",
    'volumes_from: ["container:other"]': "volumes_from",
    "external_links: [other]": "external_links",
    "security_opt: ['seccomp:unconfined']": "security_options",
    "sysctls: {net.core.somaxconn: 1}": "sysctls",
    "runtime: other": "runtime",
    "group_add: [docker]": "group_add",
    "oom_score_adj: -900": "oom",
    "ulimits: {nofile: 1000000}": "ulimits",
    "memswap_limit: -1": "no_limit",
    "pids_limit: -1": "no_limit",
    "post_start: [{command: [id], privileged: true}]": "post_start",
    "logging: {driver: syslog}": "log_driver",
    "use_api_socket: true": "engine_socket",
}


@attack("S37 S39 S41", "the same in a compose file", refused="403 naming rule, service and line")
@pytest.mark.parametrize(("words", "rule"), DENIED.items(), ids=DENIED.keys())
def test_an_operator_is_refused_with_rule_service_and_line(
    backend: DockerBackend, words: str, rule: str
) -> None:
    found = check(backend, service(words)).errors
    assert rule in {problem.rule for problem in found}, found
    assert {problem.service for problem in found} == {"web"}
    assert all(problem.line for problem in found), found


@attack("S37", "what is as good as root behind a variable of a compose file", refused="403")
@pytest.mark.parametrize("words", ["pid: ${V}", "network_mode: ${V}", "uts: ${V}"])
def test_a_variable_hides_nothing(backend: DockerBackend, words: str) -> None:
    assert [p.rule for p in check(backend, service(words), V="host").errors][0].startswith("host_")


def test_everything_that_is_wrong_is_told_at_once(backend: DockerBackend) -> None:
    words = "privileged: true\n    network_mode: host\n    cap_add: [ALL]\n    volumes: ['/etc:/e']"
    rules = {problem.rule for problem in check(backend, service(words)).errors}
    assert rules >= {"privileged", "host_network", "added_capabilities", "host_path"}


def test_an_extended_service_is_judged_as_what_it_becomes(backend: DockerBackend) -> None:
    text = service("extends: {service: base}", "  base: {image: busybox, privileged: true}\n")
    assert {p.service for p in check(backend, text).errors if p.rule == "privileged"} == {"web", "base"}


@attack("S40", "the same in a compose file", refused="403")
@pytest.mark.parametrize(
    ("rest", "rule"),
    [
        ("volumes: {vol: {driver_opts: {type: none, o: bind, device: /etc}}}", "volume_driver_opts"),
        ("volumes: {vol: {driver: other}}", "volume_driver"),
        ("networks: {n: {driver: macvlan}}", "network_driver"),
        ("networks: {n: {driver_opts: {com.docker.network.bridge.name: docker0}}}", "network_driver_opts"),
        ("networks: {n: {ipam: {driver: other}}}", "network_ipam"),
    ],
)
def test_drivers_and_their_options_are_for_administrators(
    backend: DockerBackend, rest: str, rule: str
) -> None:
    words = "volumes: ['vol:/v']" if "volumes" in rest else "networks: [n]"
    assert [problem.rule for problem in check(backend, service(words, rest)).errors] == [rule]
    assert check(backend, service(words, rest), is_admin=True).errors == []


@attack("S39", "relative paths, env files and configs beside a compose file", refused="refused")
@pytest.mark.parametrize(
    "words", ["volumes: ['./a:/b']", "volumes: ['../a:/b']", "volumes: ['../../../a:/b']"]
)
def test_a_path_beside_the_file_leads_nowhere_for_anyone(backend: DockerBackend, words: str) -> None:
    (problem,) = check(backend, service(words), is_admin=True).errors
    assert "beside the file" in problem.reason and problem.line == 4


@pytest.mark.parametrize("key", ["libgo.stack", "libgo.project", "com.docker.compose.project"])
def test_the_labels_of_libgo_and_compose_cannot_be_given(backend: DockerBackend, key: str) -> None:
    (problem,) = check(backend, service(f"labels: {{{key}: x}}"), is_admin=True).errors
    assert key in problem.reason


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("services:\n  web:\n    image: a\n    imagee: b\n", 4, "imagee"),
        ("services:\n  web:\n    image: a\n    ports: {a: b}\n", 4, "array"),
        ("services:\n  web:\n    image: a\n    mem_limit: lots\n", 4, "lots"),
        ("services:\n  web:\n    image: ${X:?give X}\n", 3, "give X"),
        ("services:\n  web:\n    image: a\n    depends_on: [db]\n", 2, "db"),
        ("services:\n  web:\n    command: a\n", 2, "image"),
        ("nonsense: 1\nservices: {web: {image: a}}\n", 1, "nonsense"),
    ],
)
def test_what_compose_itself_refuses_has_its_line(
    backend: DockerBackend, text: str, line: int, said: str
) -> None:
    (problem,) = check(backend, text).errors
    assert problem.line == line and said in problem.reason and "/tmp" not in problem.reason


def test_what_is_harmless_passes_and_is_counted(backend: DockerBackend) -> None:
    words = """command: [sh]
    user: "1000"
    init: true
    stop_grace_period: 5s
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    read_only: true
    tmpfs: [/run]
    ports: ["8080:80", "127.0.0.1:81:81/udp", "9000-9002:9000-9002"]
    deploy: {replicas: 3, resources: {limits: {cpus: "0.5", memory: 64M}}}
    healthcheck: {test: [CMD, "true"]}
    volumes: ["data:/data", "/anonymous", {type: tmpfs, target: /t}]
    configs: [{source: c, target: /c}]
    logging: {driver: json-file, options: {max-size: 1m}}"""
    rest = "volumes: {data: {}}\nconfigs: {c: {environment: SECRET}}"
    found = check(backend, service(words, rest), SECRET="p$w")
    assert found.errors == []
    (web,) = found.services
    assert (web.replicas, web.cpu_cores, web.memory_bytes) == (3, 0.5, 64 * 1024**2)
    assert found.volumes == {"data": {"name": "t_data", "external": False}}
    assert found.model["configs"]["c"]["content"] == "p$$w"


def test_all_that_is_made_says_whose_it_is(backend: DockerBackend) -> None:
    text = service("environment: {A: , B: b}\n    pull_policy: always", "volumes: {v: {}}\n")
    model = check(backend, text).model
    marked = model_marked(model, "the-stack", "the-project", {"web": 4})
    web = marked["services"]["web"]
    assert web["labels"] == {"libgo.project": "the-project", "libgo.stack": "the-stack"}
    assert web["environment"] == {"B": "b"} and "pull_policy" not in web
    assert web["deploy"]["replicas"] == 4
    assert marked["networks"]["default"]["labels"]["libgo.stack"] == "the-stack"
    assert "labels" not in model["services"]["web"], "what is kept stays as it was resolved"
