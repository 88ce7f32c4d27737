"""Whether a compose file may be deployed: its text, its meaning, the policy, and whose things it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from compute.actor import Actor
from compute.errors import ComputeError, InvalidInput, PolicyDenied
from compute.models import Resource
from compute.services.guards import config_guarded
from compute.tell import tell
from dockerapp.labels import LABEL_COMPOSE
from dockerapp.selectors.nodes import docker_of
from dockerapp.services.policy import RULE_REGISTRIES
from dockerapp.services.subnets import RULE_SUBNET, subnet_problem

if TYPE_CHECKING:
    from compute.services.resource_work import Where

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# They would steer Compose and the engine's client themselves.
_STEERING = ("COMPOSE_", "DOCKER_", "BUILDKIT_", "BUILDX_")
_VARIABLES_MAX, _VALUE_MAX = 200, 16 * 1024
_COMPOSE_MAX = 1024 * 1024


@dataclass(frozen=True)
class Verdict:
    """``checked`` is what the engine's facet found; ``problems`` hold the site's own findings too.
    ``images`` are ``[name, missing | always | never]``, as the site lets them be pulled."""

    checked: Any
    problems: tuple[Any, ...]
    images: tuple[tuple[str, str], ...] = ()

    @property
    def errors(self) -> list[Any]:
        return [problem for problem in self.problems if problem.level == "error"]

    def shown(self) -> dict[str, Any]:
        """The public shape of a validation."""
        services = [
            {
                "name": item.name,
                "image": item.image,
                "replicas": item.replicas,
                "cpu_cores": item.cpu_cores or None,
                "memory_bytes": item.memory_bytes or None,
            }
            for item in self.checked.services
        ]
        return {
            "valid": not self.errors,
            "problems": [problem.shown() for problem in self.problems],
            "services": services,
        }

    def require(self) -> None:
        """Raises ``PolicyDenied`` naming the first broken rule, or ``InvalidInput``, with all problems."""
        if not self.errors:
            return
        shown = [problem.shown() for problem in self.problems]
        ruled = next((problem for problem in self.errors if problem.rule), None)
        first = ruled or self.errors[0]
        place = first.service or tell("the file")
        if first.line:
            said = tell(f"line {first.line}, {place}: {first.reason}")
        else:
            said = tell(f"the file: {first.reason}") if not first.service else f"{place}: {first.reason}"
        if ruled is not None:
            raise PolicyDenied(said, rule=ruled.rule, service=ruled.service, problems=shown)
        raise InvalidInput(f"compose: {said}", fields={"compose": said}, problems=shown)

    def services(self) -> dict[str, dict[str, Any]]:
        """What is kept of each service: image, replicas, and what one instance may use."""
        return {
            item.name: {
                "image": item.image,
                "replicas": item.replicas,
                "cpu_cores": item.cpu_cores,
                "memory_bytes": item.memory_bytes,
            }
            for item in self.checked.services
        }


def name_check(name: Any) -> str:
    """A name that Compose takes for a project. Raises ``InvalidInput``."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidInput.field(
            "name",
            "must be 1 to 63 small letters, digits, dashes or underscores, and start with a letter or digit.",
        )
    return name


def env_check(given: Any, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables from an object, or from text of ``NAME=value`` lines. A value of asterisks, as they are
    shown, keeps the one in ``known``. Raises ``InvalidInput``."""
    env = _lines(given) if isinstance(given, str) else given
    if not isinstance(env, Mapping) or len(env) > _VARIABLES_MAX:
        raise InvalidInput.field("env", f"must be an object of at most {_VARIABLES_MAX} texts.")
    found = {}
    for name, value in env.items():
        text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise InvalidInput.field("env", "names are letters, digits and underscores.")
        if name.upper().startswith(_STEERING):
            raise InvalidInput.field(f"env.{name}", "is a name that Compose itself listens to.")
        if not isinstance(text, str) or len(text) > _VALUE_MAX or "\x00" in text:
            raise InvalidInput.field(f"env.{name}", f"must be text of at most {_VALUE_MAX} characters.")
        keeps = known is not None and set(text) == {"*"} and name in known
        found[name] = known[name] if keeps and known is not None else text
    return found


def _lines(text: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise InvalidInput.field("env", f"line {number} is not NAME=value.")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name.strip().removeprefix("export ")] = value
    return found


def stack_check(actor: Actor, at: Where, name: str, compose: Any, env: Mapping[str, str]) -> Verdict:
    """Everything that speaks against deploying this; the engine itself is not asked."""
    if not isinstance(compose, str) or len(compose) > _COMPOSE_MAX:
        raise InvalidInput.field("compose", "must be the text of a compose file, up to 256 KiB.")
    checked = docker_of(at.node).stacks.check(name, compose, env, is_admin=actor.is_admin)
    if checked.errors:
        return Verdict(checked, checked.problems)
    more: list[Any] = []
    for kind, named in (("volume", checked.volumes), ("network", checked.networks)):
        for key, body in named.items():
            reason, rule = _name_problem(actor, at, name, kind, body)
            if reason:
                more.append(checked.problem(reason, f"{kind}s", key, rule=rule))
    more += [] if actor.is_admin else _subnet_problems(at, checked)
    images = []
    for service in checked.services:
        pull, found = _guarded(actor, at, checked, service)
        images.append((service.image, pull))
        more += found
    return Verdict(checked, (*checked.problems, *more), tuple(images))


def _subnet_problems(at: Where, checked: Any) -> list[Any]:
    """What its networks would take away from the host."""
    found = []
    for key, body in (checked.model.get("networks") or {}).items():
        for pool in ((body or {}).get("ipam") or {}).get("config") or []:
            text = str(pool.get("subnet") or "")
            try:
                reason = subnet_problem(at.node, ip_network(text)) if text else ""
            except ValueError:
                reason = tell(f"“{text[:60]}” is no subnet such as 10.89.0.0/24")
            if reason:
                found.append(checked.problem(reason, "networks", key, rule=RULE_SUBNET))
    return found


def _name_problem(actor: Actor, at: Where, stack: str, kind: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """A thing of that name that is there already must be the project's own (reason, rule)."""
    name = str(body["name"])
    row = Resource.objects.filter(node=at.node, kind=kind, name=name).first()
    own = row is not None and row.project_id == at.project.pk
    if body["external"]:
        if row is None:
            return tell(f"there is no {kind} “{name}” on {at.node.name}"), ""
        if not own and not actor.is_admin:
            return tell(f"the {kind} “{name}” does not belong to the project"), f"foreign_{kind}"
        return "", ""
    if row is None or own or _of_stack(row, stack, actor):
        return "", ""
    reason = tell(f"a {kind} “{name}” is there already and is not of this stack; choose another name")
    return tell(f"{reason}, or declare it external") if actor.is_admin else reason, f"foreign_{kind}"


def _of_stack(row: Resource, stack: str, actor: Actor) -> bool:
    labels = row.data.get("labels") or {}
    return actor.is_admin and labels.get(LABEL_COMPOSE) == stack


def _guarded(actor: Actor, at: Where, checked: Any, service: Any) -> tuple[str, list[Any]]:
    """The same guard as for a container: when to pull, and what it says. Things that the stack itself
    makes are left out: they are not there yet, and their names were looked at."""
    made = {body["name"] for body in checked.volumes.values() if not body["external"]}
    config = {**service.config, "pull": service.pull}
    config["volumes"] = [item for item in config.get("volumes", []) if item.partition(":")[0] not in made]
    try:
        return str(config_guarded(actor, at.project, at.node, config).get("pull", "missing")), []
    except PolicyDenied as error:
        rule = str(error.details.get("rule", ""))
        place = ("services", service.name, *(["image"] if rule == RULE_REGISTRIES else []))
        return "never", [checked.problem(error.message, *place, rule=rule)]
    except ComputeError as error:
        return "never", [checked.problem(error.message, "services", service.name)]
