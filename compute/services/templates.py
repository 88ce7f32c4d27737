"""Templates: make, change, and make instances of them, by the same door as every other create."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import orjson
from django.conf import settings
from django.db import IntegrityError, transaction

from compute.actor import Actor
from compute.audit import audit, changes_of, stored
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_class, backend_for
from compute.errors import InvalidInput, InvalidState, NameConflict
from compute.models import Instance, Operation, Template, TemplateVersion
from compute.placeholders import (
    body_check,
    body_fill,
    parameters_check,
    placeholders_of,
    tree_escape,
    values_check,
)
from compute.sealing import seal
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.selectors.masking import MASK, is_secret, mapping_masked, variables_masked
from compute.selectors.nodes import node_config
from compute.selectors.templates import template_get, version_body, version_get
from compute.services.guards import content_guarded
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.instance_body import InstanceCreate, name_check, resources_check
from compute.services.instances import capability_require, instance_create
from compute.services.limits import Amounts, Claim, limits_check, limits_lock
from compute.services.parents import Parent, parent_adopt, parent_open
from compute.services.projects import project_for
from compute.tell import tell

COUNT_MAX = 100
# Each version may hold as much as a body: nobody fills the database with them.
PER_PROJECT_MAX, VERSIONS_MAX = 500, 500
BODY_BYTES_MAX = 256 * 1024
_BODY_KEYS = (
    *("type", "config", "resources", "networks", "storage", "labels", "annotations", "auto_start"),
    "node_labels",
)
_MAPPINGS = ("config", "resources", "labels", "annotations", "node_labels")
_PATTERN_MAX = 100
_KIND_WORDS: dict[type, str] = {str: "text", bool: tell("true or false")}

# Of a body only its version: it may hold what is secret.
_TOLD = ("name", "description", "version")


def template_create(actor: Actor, given: Mapping[str, Any]) -> Template:
    """``given``: ``name``, ``description``, ``project`` (null: the site's, for administrators), and either
    ``instance`` or ``backend``, ``body`` and ``parameters``. Raises ``InvalidInput``, ``NameConflict``."""
    instance = None if given.get("instance") is None else instance_get(actor, given["instance"])
    is_site = "project" in given and given["project"] is None
    usual = str(instance.project_id) if instance else None
    project = None if is_site else project_for(actor, given.get("project") or usual)
    action_require(actor, "template.create", project.pk if project else None)
    name = name_check(given.get("name"))
    if instance is not None:
        extra = [key for key in ("backend", "body", "parameters") if key in given]
        if extra:
            raise InvalidInput.field(extra[0], "comes from the instance; leave it out.")
        backend, body, parameters = _of_instance(actor, instance)
    else:
        backend = str(given.get("backend") or settings.LIBGO["compute"]["default_backend"])
        backend_class(backend)
        parameters = parameters_check(given.get("parameters") or [])
        body = _body_checked(given.get("body"), parameters)
    try:
        with transaction.atomic():
            limits_lock()
            if project is not None and project.templates.count() >= PER_PROJECT_MAX:
                raise InvalidState(f"A project has at most {PER_PROJECT_MAX} templates.", state="full")
            row = Template.objects.create(
                name=name,
                description=given.get("description", ""),
                project=project,
                backend=backend,
                created_by_id=actor.user_id,
            )
            _version_add(actor, row, body, parameters, given.get("comment", ""))
            audit(actor, "template.create", name, target_uid=row.pk, details={"backend": backend})
    except IntegrityError as error:
        raise _taken(name) from error
    return row


def template_update(actor: Actor, id_or_name: str | uuid.UUID, given: Mapping[str, Any]) -> Template:
    """Merge ``name``, ``description``, ``body``, ``parameters``; a changed ``body`` or ``parameters`` are
    a new version (``comment`` says why), the old ones stay."""
    try:
        with transaction.atomic():
            limits_lock()
            row = template_get(actor, id_or_name)
            action_require(actor, "template.update", row.project_id)
            before = stored(row, *_TOLD)
            row.name = name_check(given.get("name", row.name))
            row.description = given.get("description", row.description)
            last = version_get(row)
            parameters = parameters_check(given.get("parameters", last.parameters))
            body = _body_checked(given.get("body", version_body(last)), parameters)
            if body != version_body(last) or parameters != last.parameters:
                if row.version >= VERSIONS_MAX:
                    raise InvalidState(
                        f"A template has at most {VERSIONS_MAX} versions. Make another of it.", state="full"
                    )
                row.version += 1
                _version_add(actor, row, body, parameters, given.get("comment", ""))
            row.save()
            details = {"fields": sorted(given), **changes_of(before, stored(row, *_TOLD))}
            audit(
                actor,
                "template.update",
                row.name,
                target_uid=row.pk,
                details=details,
                project=row.project_id,
            )
    except IntegrityError as error:
        raise _taken(str(given.get("name"))) from error
    return row


def template_delete(actor: Actor, id_or_name: str | uuid.UUID) -> None:
    """With all versions; what was made of it stays."""
    with transaction.atomic():
        row = template_get(actor, id_or_name)
        action_require(actor, "template.delete", row.project_id)
        audit(actor, "template.delete", row.name, target_uid=row.pk, project=row.project_id)
        row.delete()


def template_instantiate(
    actor: Actor,
    id_or_name: str | uuid.UUID,
    given: Mapping[str, Any],
    *,
    idempotency: Idempotency | None = None,
) -> Operation:
    """``count`` instances, all or none: one operation with a child for each. ``given``: ``name``,
    ``name_pattern`` (``{name}-{n}``), ``parameters``, ``version``, ``project``, ``node``, ``node_labels``,
    ``auto_start``. Raises what a create raises; nothing was made then."""
    row = template_get(actor, id_or_name)
    common = {key: given.get(key) for key in ("project", "node", "node_labels", "auto_start")}
    wanted = _create_body(actor, row, {**common, **_asked(given)})
    count = int(given.get("count") or 1)
    names = _names(str(given.get("name") or ""), given.get("name_pattern"), count)
    with transaction.atomic():
        limits_lock()
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        project = project_for(actor, wanted.project)
        # At once for all, so that a refusal tells the whole of what was asked for.
        amounts = Amounts.new(resources_check(wanted.resources)).times(count)
        limits_check(Claim(amounts, project, actor.user_id))
        number = given.get("version") or row.version
        target = tell(f"{row.name}, version {number}: {count} instance{'' if count == 1 else 's'}")
        params = {"template": str(row.pk), "version": number, "names": names}
        parent = parent_open(actor, Parent("template.instantiate", target, project, params))
        for name in names:
            parent_adopt(parent, instance_create(actor, replace(wanted, name=name)))
        idempotency_store(actor, idempotency, parent)
        audit(actor, "template.instantiate", row.name, target_uid=row.pk, details=params)
    return parent


def create_body(actor: Actor, given: Mapping[str, Any]) -> InstanceCreate:
    """The body of a create, which may name a ``template`` with ``template_version`` and ``parameters``;
    what else is given goes over what the template says."""
    known = {item.name for item in fields(InstanceCreate)}
    own = {key: value for key, value in given.items() if key in known}
    if given.get("template") is None:
        for key in ("parameters", "template_version"):
            if given.get(key) is not None:
                raise InvalidInput.field(key, "goes with a template only.")
        return InstanceCreate(**own)
    row = template_get(actor, given["template"])
    asked = {"parameters": given.get("parameters"), "version": given.get("template_version")}
    return _create_body(actor, row, {**own, **asked})


def _create_body(actor: Actor, row: Template, given: Mapping[str, Any]) -> InstanceCreate:
    if given.get("backend") not in (None, row.backend):
        raise InvalidInput.field("backend", f"the template “{row.name}” is for {row.backend}.")
    project = given.get("project") or (str(row.project_id) if row.project_id else None)
    action_require(actor, "template.use", project_for(actor, project).pk)
    number = given.get("version")
    version = version_get(row, None if number is None else int(number))
    values = values_check(version.parameters, given.get("parameters") or {})
    body = body_fill(version_body(version), values)
    for key, value in given.items():
        if key not in _BODY_KEYS or value is None:
            continue
        is_merged = key in _MAPPINGS and isinstance(value, Mapping)
        body[key] = {**(body.get(key) or {}), **value} if is_merged else value
    for key, kind in (("type", str), ("auto_start", bool)):
        if body.get(key) is not None and not isinstance(body[key], kind):
            raise InvalidInput.field(f"body.{key}", f"of the template gives no {_KIND_WORDS[kind]}.")
    return InstanceCreate(
        name=given.get("name", ""),
        backend=row.backend,
        node=given.get("node") or None,
        project=project,
        **{key: body[key] for key in _BODY_KEYS if body.get(key) is not None},
    )


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"parameters": given.get("parameters"), "version": given.get("version")}


def _names(name: str, pattern: Any, count: int) -> list[str]:
    if not 1 <= count <= COUNT_MAX:
        raise InvalidInput.field("count", f"must be from 1 to {COUNT_MAX}.")
    if pattern is None:
        pattern = "{name}" if count == 1 else "{name}-{n}"
    if not isinstance(pattern, str) or len(pattern) > _PATTERN_MAX:
        raise InvalidInput.field("name_pattern", f"must be a text of at most {_PATTERN_MAX} characters.")
    if count > 1 and "{n}" not in pattern:
        raise InvalidInput.field("name_pattern", "must contain {n}, or all would have one name.")
    names = [pattern.replace("{name}", name).replace("{n}", str(n)) for n in range(1, count + 1)]
    return [name_check(each) for each in names]


def _version_add(
    actor: Actor, row: Template, body: Mapping[str, Any], parameters: list[dict[str, Any]], comment: str
) -> None:
    TemplateVersion.objects.create(
        template=row,
        number=row.version,
        body_sealed=seal(dict(body)),
        parameters=parameters,
        comment=comment,
        created_by_id=actor.user_id,
    )


def _body_checked(given: Any, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """What it can be judged by before there are values; the rest is judged at each create."""
    if not isinstance(given, Mapping):
        raise InvalidInput.field("body", "must be an object: the body of a create, without its name.")
    unknown = sorted(str(key) for key in set(given) - set(_BODY_KEYS))
    if unknown:
        raise InvalidInput.field(f"body.{unknown[0][:50]}", f"is not one of {', '.join(sorted(_BODY_KEYS))}.")
    for key in _MAPPINGS:
        if given.get(key) is not None and not isinstance(given[key], Mapping):
            raise InvalidInput.field(f"body.{key}", "must be an object.")
    try:
        length = len(orjson.dumps(dict(given)))
    except TypeError as error:
        raise InvalidInput.field("body", "holds a number or a text that cannot be kept.") from error
    if length > BODY_BYTES_MAX:
        raise InvalidInput.field("body", f"is longer than {BODY_BYTES_MAX} bytes.")
    body_check(given, parameters)
    _secrets_refuse((given.get("config") or {}).get("env"))
    return dict(given)


def _secrets_refuse(env: Any) -> None:
    """A template is read by many: what is secret comes in as a parameter."""
    if not isinstance(env, Mapping):
        return
    for key, value in env.items():
        if is_secret(key, value) and not any(placeholders_of(value)):
            raise InvalidInput.field(
                f"body.config.env.{key[:100]}", "looks like a secret: make it a parameter (secret: true)."
            )


def _of_instance(actor: Actor, instance: Instance) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """What an instance is made of, without what only one may have, and without its secrets: they become
    parameters that must be given."""
    action_require(actor, "instance.clone", instance.project_id)
    capability_require(instance, Capability.CLONE)
    content_guarded(actor, instance)
    backend = backend_for(node_config(instance.node))
    config = dict(backend.clone_config(instance.config, instance.storage))
    if instance.image:
        config.setdefault("image", instance.image)
    env, parameters = _env_without_secrets(config.pop("env", None))
    config = tree_escape(config)
    if env:
        config["env"] = env
    if isinstance(config.get("log_options"), Mapping):
        options = variables_masked(config["log_options"])
        config["log_options"] = {key: value for key, value in options.items() if value != MASK}
    resources: dict[str, Any] = {}
    if instance.cpu_cores:
        resources["cpu"] = {"cores": instance.cpu_cores}
    if instance.memory_bytes:
        resources["memory"] = {"limit": instance.memory_bytes}
    body = {
        "type": instance.type,
        "config": config,
        "resources": resources,
        "labels": tree_escape(_without_secrets(instance.labels)),
        "annotations": tree_escape(_without_secrets(instance.annotations)),
    }
    return instance.backend, body, parameters_check(parameters)


def _env_without_secrets(env: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found: dict[str, Any] = {}
    parameters: list[dict[str, Any]] = []
    for key, value in variables_masked(env or {}).items():
        if value != MASK:
            found[key] = tree_escape(value)
            continue
        name = f"secret_{len(parameters) + 1}"
        found[key] = f"${{{name}}}"
        parameters.append(
            {"name": name, "type": "string", "required": True, "secret": True, "description": key[:200]}  # nosec B105 # says that the parameter is one
        )
    return found, parameters


def _without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping_masked(values).items() if value != MASK}


def _taken(name: str) -> NameConflict:
    return NameConflict(f"There is already a template “{name}” there.", name=name)
