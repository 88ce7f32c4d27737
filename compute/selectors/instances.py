"""Every read of instances. Lists cost one query, whatever the engines are doing."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from django.db.models import Count, F, FilteredRelation, Q, QuerySet, TextField, Window
from django.db.models.expressions import Expression, OrderBy
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import Exact

from compute.actor import Actor
from compute.backends.registry import backend_known
from compute.errors import InstanceNotFound, InvalidInput
from compute.jsontext import dumps
from compute.models import Instance, Operation
from compute.models.node import node_status
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name, id_of
from compute.selectors.masking import MASK, config_masked, mapping_masked
from compute.selectors.page import Page, RenderedPage, one_of, order_by, page_bounds
from compute.selectors.prepared import Prepared, Repeated
from compute.states import ACTIVE_OPERATION_STATES, Action, InstanceState, InstanceType, action_words
from compute.tell import tell

SORT_COLUMNS = {
    "name": "name",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "state": "state",
    "backend": "backend",
    "type": "type",
    "node": "node__name",
    "image": "image",
    "cpu": "cpu_cores",
    "memory": "memory_bytes",
}
_OWN_LABEL = "libgo."
# Written by every tool that speaks Compose; the containers of one stack share its value.
STACK_LABEL = "com.docker.compose.project"
GROUPS = frozenset({"stack", "node", "project"})
LABEL_GROUP = "label:"
# Broken, not to be made out, sick, or out of reach.
NEEDS_ATTENTION = (
    Q(state__in=[InstanceState.ERROR.value, InstanceState.UNKNOWN.value])
    | Q(health="unhealthy")
    | Q(node__is_enabled=True, node__is_reachable=False)
)
_WORDS_MAX = 8
_LABELS_READ_MAX = 5000
_LABEL_TEXTS = ("engine_labels_text", "labels_text")
_COLUMNS = (
    "name type backend engine_id state status health image cpu_cores memory_bytes storage_bytes managed "
    "node__name node__is_enabled node__is_reachable node__is_draining node__error project__name "
    "active__action active__state active__progress active__step"
).split()
# Read as text: in a list of hundreds most of the time would go into making objects of what leaves
# as text again, and rows share few JSON values, each of which is decoded once.
_TEXTS = {
    f"{name}_text": Cast(name, TextField())
    for name in (
        "id node_id project_id active__id created_at started_at finished_at updated_at config networks "
        "storage ports engine_labels labels annotations pending_changes"
    ).split()
}

# What the JSON of an instance is made of, besides the row itself, whose every change moves ``updated_at``.
_STAMP_TEXTS = ("id_text", "updated_at_text", "active__id_text")
_STAMP_COLUMNS = (
    "active__action active__state active__progress active__step project__name "
    "node__name node__is_enabled node__is_reachable node__is_draining node__error"
).split()
_RENDERED_MAX_BYTES = 16 * 1024**2
T = TypeVar("T")


@dataclass(frozen=True)
class InstanceFilter:
    """Empty means "any". ``labels`` must all match; ``q`` searches name, image and addresses; ``managed``
    False: made outside and adopted by nobody; ``engine_ids``, when given, are the only ones wanted;
    ``states`` the only states. ``attention``: only what somebody should look at; ``mine``: only what the
    actor made. ``group`` puts together what shares one of ``GROUPS``, or by ``label:<key>`` a label; what
    has none of it comes last."""

    backend: str = ""
    state: str = ""
    type: str = ""
    node: str = ""
    project: str = ""
    image: str = ""
    q: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    managed: bool | None = None
    engine_ids: Collection[str] | None = None
    states: tuple[InstanceState, ...] = ()
    attention: bool = False
    mine: bool = False
    sort: list[str] = field(default_factory=list)
    group: str = ""
    page: int = 1
    page_size: int = 50


def instances_page(actor: Actor, wanted: InstanceFilter) -> Page:
    """Rows, their node and their active operation by one query; the total by a second where there are
    more than a page of them, and one more where labels are searched. In groups each row says its ``group``
    and how many are in it (``group_total``)."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows, ordering = _asked_for(actor, wanted)
    group = _group_expression(wanted.group)
    counts = {} if group is None else {"group_total": Window(Count("id"), partition_by=[group])}
    found = list(
        rows.annotate(**counts, **_TEXTS)
        .order_by(*([] if group is None else [OrderBy(group, nulls_last=True)]), *ordering)
        .values(*_COLUMNS, *_TEXTS, *counts)[start:end]
    )
    decode, total = _Decoder(), _total(lambda: rows, len(found), wanted)
    items = [_shape(row, decode) for row in found]
    if group is not None:
        for item, row in zip(items, found, strict=True):
            item["group"], item["group_total"] = group_of(item, wanted.group), row["group_total"]
    return Page(items, total, wanted.page, wanted.page_size)


def instances_rendered(actor: Actor, wanted: InstanceFilter) -> RenderedPage:
    """``instances_page`` with each item as the JSON it is sent as. What an instance looks like is made
    once for every change of it; a list reads of each only what tells whether it changed."""
    start, end = page_bounds(wanted.page, wanted.page_size)

    def stamps() -> QuerySet[Instance, tuple[Any, ...]]:
        rows, ordering = _asked_for(actor, wanted)
        texts = {name: _TEXTS[name] for name in _STAMP_TEXTS}
        return (
            rows.annotate(**texts).order_by(*ordering).values_list(*_STAMP_TEXTS, *_STAMP_COLUMNS)[start:end]
        )

    key = _list_key(actor, wanted)
    found = list(stamps()) if key is None else _lists.rows(key, stamps)
    total = _total(lambda: _asked_for(actor, wanted)[0], len(found), wanted)
    items, digest = _rendered.of(found)
    return RenderedPage(items, digest, total, wanted.page, wanted.page_size)


def _list_key(actor: Actor, wanted: InstanceFilter) -> Hashable | None:
    """All that a list is made of; None where a query is asked to make it, or too much of it is its own."""
    if wanted.q or wanted.engine_ids is not None or actor.credential.scope is not None:
        return None
    values = {**vars(wanted), "labels": tuple(sorted(wanted.labels.items())), "sort": tuple(wanted.sort)}
    return (actor.is_admin, actor.is_admin_account, actor.user_id, *values.values())


def _asked_for(actor: Actor, wanted: InstanceFilter) -> tuple[QuerySet[Instance], list[str]]:
    """All that match, and their order."""
    rows = _filtered(actor, _rows(visible(actor, Instance.objects.all())), wanted)
    return rows, order_by(wanted.sort or ["name"], SORT_COLUMNS, "id")


def _total(rows: Callable[[], QuerySet[Instance]], found: int, wanted: InstanceFilter) -> int:
    """A page that is not full, and not empty behind others, tells it by itself."""
    if found < wanted.page_size and (found or wanted.page == 1):
        return (wanted.page - 1) * wanted.page_size + found
    return rows().count()


def instance_read(actor: Actor, id_or_name: str | uuid.UUID) -> dict[str, Any]:
    """``instance_dict`` of ``instance_get``, in one query; raises the same."""
    if (prepared := _of(actor, id_or_name, _READ)) is not None:
        found = prepared()
    else:
        rows = _shown(visible(actor, Instance.objects.filter(by_id_or_name(str(id_or_name)))))
        found = list(rows[:2])
    return _shape(_only(found, str(id_or_name)), _Decoder())


def instance_get(actor: Actor, id_or_name: str | uuid.UUID) -> Instance:
    """By id, or by a name that is unique among what the actor sees. Raises ``InstanceNotFound``;
    ``InvalidInput`` when several share the name."""
    if (prepared := _of(actor, id_or_name, _GET)) is not None:
        return _only(prepared(), str(id_or_name))
    rows = visible(actor, Instance.objects.select_related("node", "project"))
    return _only(list(rows.filter(by_id_or_name(str(id_or_name)))[:2]), str(id_or_name))


def _of(actor: Actor, id_or_name: str | uuid.UUID, ways: _Ways[T]) -> Callable[[], list[T]] | None:
    """What an administrator sees or what a member does; None where neither is asked for."""
    key = id_of(id_or_name)
    of_all, of_member = ways.by_name if key is None else ways.by_id
    if actor.is_admin:
        return partial(of_all.rows, key or str(id_or_name))
    if actor.user_id is None or actor.is_admin_account or actor.credential.scope is not None:
        return None
    return partial(of_member.rows, actor.user_id, key or str(id_or_name))


def _only(found: Sequence[T], wanted: str) -> T:
    if len(found) > 1:
        raise InvalidInput.field("name", f"several instances are called “{wanted}”; use the id.")
    if not found:
        raise InstanceNotFound(f"There is no instance “{wanted[:100]}”.", instance=wanted[:100])
    return found[0]


def instances_matching(actor: Actor, wanted: InstanceFilter, limit: int) -> list[Instance]:
    """At most ``limit`` of those that the list would show with this filter, by name, with their node."""
    rows = _filtered(actor, visible(actor, Instance.objects.select_related("node")), wanted)
    return list(rows.order_by("name", "id")[:limit])


def instances_by_ids(actor: Actor, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Instance]:
    """Those of ``ids`` that the actor sees, with their node."""
    rows = visible(actor, Instance.objects.select_related("node")).filter(pk__in=ids)
    return {row.pk: row for row in rows}


def instance_dict(instance: Instance) -> dict[str, Any]:
    """The public shape of one instance, re-read with its active operation in one query."""
    shown = _instance_shown(instance.pk)
    if shown is None:
        raise InstanceNotFound(f"The instance “{instance.name}” is gone.", instance=str(instance.pk))
    return shown


def _instance_shown(instance_id: uuid.UUID) -> dict[str, Any] | None:
    row = _READ.by_id[0].first(instance_id)
    return None if row is None else _shape(row, _Decoder())


def instance_made(operation: Operation) -> dict[str, Any] | None:
    """What this operation makes; None when that was given up, be it while one looks."""
    return None if operation.instance_uid is None else _instance_shown(operation.instance_uid)


def instance_counts(actor: Actor) -> dict[str, Any]:
    """``{"total", "by_state": {state: n}, "by_backend": {backend: n}}`` of what the actor sees."""
    rows = visible(actor, Instance.objects.all()).values_list("backend", "state").annotate(n=Count("id"))
    counts: dict[str, Any] = {"total": 0, "by_state": {}, "by_backend": {}}
    for backend, state, n in rows:
        counts["total"] += n
        counts["by_state"][state] = counts["by_state"].get(state, 0) + n
        counts["by_backend"][backend] = counts["by_backend"].get(backend, 0) + n
    return counts


def _rows(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    active = Q(operations__state__in=sorted(ACTIVE_OPERATION_STATES))
    return rows.annotate(active=FilteredRelation("operations", condition=active))


def _shown(rows: QuerySet[Instance]) -> QuerySet[Instance, dict[str, Any]]:
    return _rows(rows).annotate(**_TEXTS).values(*_COLUMNS, *_TEXTS)


class _Ways(Generic[T]):
    """One instance by id, or those of a name as far as it takes to see that there are several; each for
    administrators, and for members, whose id stands first."""

    def __init__(self, shape: Callable[[QuerySet[Instance]], QuerySet[Any, T]]) -> None:
        def named(rows: QuerySet[Instance], name: str) -> QuerySet[Any, T]:
            return shape(rows.filter(name=name))[:2]

        every = Instance.objects.all
        self.by_id = (
            Prepared(lambda key: shape(every().filter(pk=key))),
            Prepared(lambda user, key: shape(_of_member(user).filter(pk=key)), keys=2),
        )
        self.by_name = (
            Prepared(lambda name: named(every(), name), keys=0, texts=1),
            Prepared(lambda user, name: named(_of_member(user), name), texts=1),
        )


def _of_member(user_id: uuid.UUID) -> QuerySet[Instance]:
    return visible(Actor(user_id, ""), Instance.objects.all())


_READ: _Ways[dict[str, Any]] = _Ways(_shown)
_GET: _Ways[Instance] = _Ways(lambda rows: rows.select_related("node", "project"))


def _filtered(actor: Actor, rows: QuerySet[Instance], wanted: InstanceFilter) -> QuerySet[Instance]:
    rows = _narrowed(actor, rows, wanted)
    if wanted.state:
        rows = rows.filter(state=one_of("state", wanted.state, InstanceState))
    if wanted.type:
        rows = rows.filter(type=one_of("type", wanted.type, InstanceType))
    if wanted.backend:
        rows = rows.filter(backend=backend_known(wanted.backend))
    if wanted.image:
        rows = rows.filter(image__icontains=wanted.image)
    if wanted.node:
        rows = rows.filter(by_id_or_name(wanted.node, id_column="node_id", name_column="node__name"))
    if wanted.project:
        rows = rows.filter(by_id_or_name(wanted.project, id_column="project_id", name_column="project__name"))
    for word in wanted.q.split()[:_WORDS_MAX]:
        rows = _searched(rows, word)
    for key, value in wanted.labels.items():
        rows = rows.filter(Exact(_label("labels", key), value) | Exact(_label("engine_labels", key), value))
    return rows


def _searched(rows: QuerySet[Instance], word: str) -> QuerySet[Instance]:
    """Those that have the word somewhere that everybody may read."""
    found = Q()
    for column in ("name", "image", "status", "networks", "engine_id"):
        found |= Q(**{f"{column}__icontains": word})
    # As text, in which one database keeps letters as escapes: this only tells who is worth a look.
    texts = {"own": Cast("labels", TextField()), "engine": Cast("engine_labels", TextField())}
    maybe = rows.exclude(found).annotate(**texts)
    for part in filter(None, word.split("=")):
        held = Q()
        for text in {part, json.dumps(part)[1:-1]}:
            held |= Q(own__icontains=text) | Q(engine__icontains=text)
        maybe = maybe.filter(held)
    decode, wanted, ids = _Decoder(), word.casefold(), []
    for pk, own, engine in maybe.values_list("pk", "own", "engine")[:_LABELS_READ_MAX]:
        shown = decode.labels(engine, own)
        # The mask of a secret is found by nobody: else one could guess it letter by letter.
        if any(wanted in f"{key}={value}".casefold() for key, value in shown.items()):
            ids.append(pk)
    return rows.filter(found | Q(pk__in=ids)) if ids else rows.filter(found)


def label_keys(actor: Actor, limit: int = 30) -> list[str]:
    """Keys of labels that the actor sees, the most used first."""
    rows = visible(actor, Instance.objects.all()).annotate(**{name: _TEXTS[name] for name in _LABEL_TEXTS})
    counts: Counter[str] = Counter()
    decode = _Decoder()
    for engine, own, number in rows.values_list(*_LABEL_TEXTS).annotate(number=Count("id")):
        for key in decode.labels(engine, own):
            counts[key] += number
    return [key for key, _ in counts.most_common(limit)]


def view_counts(actor: Actor) -> dict[str, int]:
    """How many each of the views has that everybody has: ``all``, ``attention``, ``mine``, and each state
    and type by its word. One query."""
    states = {word.value: Count("id", filter=Q(state=word.value)) for word in InstanceState}
    types = {word.value: Count("id", filter=Q(type=word.value)) for word in InstanceType}
    return visible(actor, Instance.objects.all()).aggregate(
        all=Count("id"),
        attention=Count("id", filter=NEEDS_ATTENTION),
        mine=Count("id", filter=Q(created_by=actor.user_id)),
        **states,
        **types,
    )


def _narrowed(actor: Actor, rows: QuerySet[Instance], wanted: InstanceFilter) -> QuerySet[Instance]:
    if wanted.attention:
        rows = rows.filter(NEEDS_ATTENTION)
    if wanted.mine:
        rows = rows.filter(created_by=actor.user_id)
    if wanted.managed is not None:
        rows = rows.filter(managed=wanted.managed)
    if wanted.states:
        rows = rows.filter(state__in=[word.value for word in wanted.states])
    if wanted.engine_ids is not None:
        rows = rows.filter(engine_id__in=list(wanted.engine_ids))
    return rows


def group_of(row: Mapping[str, Any], group: str) -> str:
    """The name under which a public row stands in a grouped list; empty when it belongs nowhere."""
    key = _label_of(group)
    if key:
        return str(row["labels"].get(key, ""))
    return str((row[group] or {}).get("name", "")) if group in GROUPS else ""


def _label_of(group: str) -> str:
    """The label by which is grouped; empty where it is none."""
    return STACK_LABEL if group == "stack" else group.partition(LABEL_GROUP)[2]


def _group_expression(group: str) -> Expression | F | None:
    if not group:
        return None
    key = _label_of(group)
    if key and mapping_masked({key: MASK[:1]})[key] == MASK:
        raise InvalidInput.field("group", f"the values of “{key[:50]}” are not shown to anybody.")
    if key:
        # What LibGo or whoever looks after it wrote counts more than what the engine tells.
        return Coalesce(_label("labels", key), _label("engine_labels", key))
    if group not in GROUPS:
        known = ", ".join(sorted(GROUPS))
        raise InvalidInput.field("group", f"“{group[:50]}” is not one of {known}, {LABEL_GROUP}<key>.")
    return F(f"{group}__name")


def label_pair(text: str) -> tuple[str, str]:
    """``key=value`` as both. Raises ``InvalidInput`` without a key."""
    key, equals, value = text.partition("=")
    if not key or not equals or not key.isprintable():
        raise InvalidInput.field("label", "must be “key=value”.")
    return key, value


def _label(column: str, key: str) -> Cast:
    """One value out of a JSON column, as text; keys may hold anything."""
    return Cast(KeyTextTransform(key, column), TextField())


class _Decoder:
    """JSON texts to values; equal texts give the same object, which nobody changes."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._masked: dict[tuple[str, ...], Any] = {}

    def __call__(self, text: str) -> Any:
        if text not in self._known:
            self._known[text] = orjson.loads(text)
        return self._known[text]

    def config(self, text: str) -> Any:
        if (text,) not in self._masked:
            self._masked[(text,)] = config_masked(self(text))
        return self._masked[(text,)]

    def labels(self, engine: str, own: str) -> Any:
        if (engine, own) not in self._masked:
            self._masked[(engine, own)] = labels_shown(self(engine), self(own))
        return self._masked[(engine, own)]


class _Made(NamedTuple):
    """One instance: what it was made from, its JSON, and what tells this JSON from any other."""

    stamp: tuple[Any, ...]
    json: orjson.Fragment
    size: int
    digest: bytes


class _Rendered:
    """The JSON of instances as it was last made, each under the stamp it was made from."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[str, _Made] = {}
        self._bytes = 0

    def of(self, stamps: list[tuple[Any, ...]]) -> tuple[list[orjson.Fragment], bytes]:
        """One for each stamp, in their order, without those that are gone since; and a digest of all."""
        kept = self._kept
        found = [kept.get(stamp[0], _NONE) for stamp in stamps]
        missing = [stamp[0] for stamp, made in zip(stamps, found, strict=True) if made[0] != stamp]
        if missing:
            new = self._make(missing)
            found = [new.get(stamp[0], made) for stamp, made in zip(stamps, found, strict=True)]
            gone = set(missing) - new.keys()
            found = [made for stamp, made in zip(stamps, found, strict=True) if stamp[0] not in gone]
        digests = b"".join([made[3] for made in found])
        return [made[1] for made in found], hashlib.sha1(digests, usedforsecurity=False).digest()

    def _make(self, ids: list[str]) -> dict[str, _Made]:
        """Read them whole. The stamp is of this reading: the row may be newer than the one that missed."""
        decode, made = _Decoder(), {}
        for row in _shown(Instance.objects.filter(pk__in=ids)):
            raw = dumps(_shape(row, decode))
            stamp = (*(row[name] for name in _STAMP_TEXTS), *(row[name] for name in _STAMP_COLUMNS))
            digest = hashlib.sha1(raw, usedforsecurity=False).digest()
            made[row["id_text"]] = _Made(stamp, orjson.Fragment(raw), len(raw), digest)
        self._keep(made)
        return made

    def _keep(self, made: Mapping[str, _Made]) -> None:
        with self._lock:
            for key, one in made.items():
                self._bytes += one.size - self._kept.pop(key, _NONE).size
                self._kept[key] = one
            while self._bytes > _RENDERED_MAX_BYTES:
                self._bytes -= self._kept.pop(next(iter(self._kept))).size


_NONE = _Made((), orjson.Fragment(b""), 0, b"")
_rendered = _Rendered()
_lists = Repeated()


def _shape(row: Mapping[str, Any], decode: _Decoder) -> dict[str, Any]:
    status = node_status(row["node__is_enabled"], row["node__is_reachable"], row["node__is_draining"])
    stale = not (row["node__is_enabled"] and row["node__is_reachable"])
    identifier = _uuid_text(row["id_text"])
    base = f"/api/v1/compute/instances/{identifier}"
    return {
        "id": identifier,
        "name": row["name"],
        "uuid": row["engine_id"] if row["type"] == InstanceType.VM and row["engine_id"] else identifier,
        "type": row["type"],
        "backend": row["backend"],
        "node": {"id": _uuid_text(row["node_id_text"]), "name": row["node__name"], "status": str(status)},
        "project": {"id": _uuid_text(row["project_id_text"]), "name": row["project__name"]},
        "state": row["state"],
        "status": _sentence(row, stale),
        "health": row["health"],
        "stale": stale,
        "active_operation": _active(row),
        "engine_id": row["engine_id"],
        "image": row["image"],
        "config": decode.config(row["config_text"]),
        "resources": {
            "cpu": {"cores": row["cpu_cores"]},
            "memory": {"limit": row["memory_bytes"]},
            "storage": {"total_space": row["storage_bytes"]},
        },
        "networks": decode(row["networks_text"]),
        "storage": decode(row["storage_text"]),
        "ports": decode(row["ports_text"]),
        "labels": decode.labels(row["engine_labels_text"], row["labels_text"]),
        "annotations": decode(row["annotations_text"]),
        "managed": row["managed"],
        "pending_changes": decode(row["pending_changes_text"]),
        "created_at": _time_text(row["created_at_text"]),
        "started_at": _time_text(row["started_at_text"]),
        "finished_at": _time_text(row["finished_at_text"]),
        "updated_at": _time_text(row["updated_at_text"]),
        "links": {"self": base, "usage": f"{base}/usage", "events": f"{base}/events", "logs": f"{base}/logs"},
    }


def _uuid_text(text: str) -> str:
    """SQLite keeps ids without dashes, PostgreSQL shows them with."""
    if len(text) != 32:
        return text
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _time_text(text: str | None) -> str | None:
    """Both databases keep UTC: as “2026-01-31 12:00:00.5”, PostgreSQL with “+00” behind it."""
    return None if text is None else f"{text.removesuffix('+00').replace(' ', 'T', 1)}Z"


def labels_shown(engine: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Labels of engine and LibGo together, without LibGo's own marks, secrets masked."""
    return mapping_masked({k: v for k, v in {**engine, **own}.items() if not k.startswith(_OWN_LABEL)})


def _sentence(row: Mapping[str, Any], stale: bool) -> str:
    if stale and not row["node__is_enabled"]:
        return f"Last seen {row['state']}; the node {row['node__name']} is disabled."
    if stale:
        reason = row["node__error"] or tell("it does not answer")
        return f"Last seen {row['state']}; the node {row['node__name']} is unreachable: {reason}"
    if row["active__action"]:
        return f"{_progressive(row['active__action']).capitalize()}: {row['active__step'] or 'waiting'}"
    return str(row["status"] or row["state"].capitalize())


def _active(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["active__id_text"] is None:
        return None
    return {
        "id": _uuid_text(row["active__id_text"]),
        "action": _progressive(row["active__action"]),
        "state": row["active__state"],
        "progress": row["active__progress"],
        "step": row["active__step"],
    }


def _progressive(action: str) -> str:
    try:
        return Action(action.removeprefix("instance.")).progressive
    except ValueError:
        return action_words(action)
