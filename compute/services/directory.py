"""Accounts of people from outside directories: which account is theirs, and what their groups give them.

The subject of the provider is the key. A name or an e-mail address never opens an account that exists:
whoever can choose a name in the directory must not become somebody here. What the groups give is brought up
to date at each sign-in; what was given by hand stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from compute.actor import SYSTEM
from compute.audit import audit
from compute.directories.ldap import PROVIDER as LDAP
from compute.directories.ldap import ldap_again, ldap_person
from compute.directories.person import Person
from compute.errors import PolicyDenied, Unauthenticated
from compute.events import rights_changed
from compute.models import ApiToken, DirectoryGrant, DirectoryIdentity, Membership, Project, SignIn, User
from compute.services.sign_ins import Visitor, account_lock_out
from compute.states import Role

log = structlog.get_logger(__name__)
_MANY = 3
_STRENGTH = {Role.VIEWER.value: 0, Role.OPERATOR.value: 1, Role.ADMIN.value: 2}
_USERNAME_MAX = 150
_PROVIDER_FACTOR = "provider"


def ldap_login(username: str, password: str, visitor: Visitor) -> User | None:
    """The account of the person with this name and password in the LDAP directory; None if there is
    none, or no directory. Raises ``PolicyDenied``, ``BackendUnavailable``."""
    config = settings.LIBGO["ldap"]
    if not config["uri"]:
        return None
    # A local account's password is nothing for the directory to see.
    if User.objects.filter(username__iexact=username).exclude(directory__provider=LDAP).exists():
        return None
    person = ldap_person(config, username, password)
    return person_admit(person, config, visitor) if person else None


def person_admit(person: Person, config: Mapping[str, Any], visitor: Visitor) -> User:
    """The person's account, made at the first time, with the roles of the groups. ``config``: ``groups``
    and ``allow_all``. Raises ``PolicyDenied``, ``Unauthenticated`` for a switched off account."""
    try:
        with transaction.atomic():
            user = _admit(person, config, visitor)
    except (PolicyDenied, Unauthenticated) as error:
        refused = visitor.called(person.username)
        details = {"method": _method(person), "reason": error.details.get("rule", "switched off")}
        audit(refused, "auth.login", result="refused", details=details)
        raise
    user.refresh_from_db()
    return user


def ldap_refresh() -> None:
    """Look again at the people of the LDAP directory who have anything open here: the roles follow their
    groups, and who is gone or switched off there loses sessions and tokens. Raises ``BackendUnavailable``."""
    config = settings.LIBGO["ldap"]
    if not config["uri"]:
        return
    identities = DirectoryIdentity.objects.filter(_is_open(), provider=LDAP, user__is_active=True)
    users = {row.subject: row.user for row in identities.select_related("user")}
    found = ldap_again(config, sorted(users))
    if len(found) >= _MANY and not any(found.values()):
        # Rather a filter that fits nobody than a directory that let everybody go.
        log.warning("ldap_all_gone", count=len(found))
        return
    for subject, person in found.items():
        with transaction.atomic():
            if person is None:
                _gone(users[subject])
            else:
                _bring_up_to_date(users[subject], person, config, Visitor())


def _is_open() -> Q:
    """Whether the account has a session or a token; a sub-query."""
    user, now = OuterRef("user_id"), timezone.now()
    tokens = ApiToken.objects.filter(user=user)
    sessions = SignIn.objects.filter(user=user, ended_at=None, expires_at__gt=now)
    return Q(Exists(tokens) | Exists(sessions))


def _gone(user: User) -> None:
    account_lock_out(user)
    User.objects.filter(pk=user.pk).update(token_version=F("token_version") + 1)
    audit(SYSTEM, "directory.gone", user.get_username(), target_uid=user.pk)


def grants_problems() -> list[str]:
    """For doctor: groups that are mapped to projects which do not exist."""
    mapped = [grant for section in ("oidc", "ldap") for grant in settings.LIBGO[section]["groups"]]
    if not any(grant["project"] for grant in mapped):
        return []
    names = set(Project.objects.values_list("name", flat=True))
    return [
        f"{section}.groups: there is no project “{grant['project']}” for {grant['group']}"
        for section in ("oidc", "ldap")
        for grant in settings.LIBGO[section]["groups"]
        if grant["project"] and grant["project"] not in names
    ]


def _admit(person: Person, config: Mapping[str, Any], visitor: Visitor) -> User:
    if not config["allow_all"] and not _wanted(person, config):
        raise PolicyDenied("None of your groups may use this site. Ask an administrator.", rule="groups")
    known = DirectoryIdentity.objects.select_for_update(no_key=True).select_related("user")
    identity = known.filter(provider=person.provider, subject=person.subject).first()
    user = identity.user if identity else _account_make(person, visitor)
    if not user.is_active:
        raise Unauthenticated("Your account is switched off. Ask an administrator.")
    _bring_up_to_date(user, person, config, visitor)
    return user


def _bring_up_to_date(user: User, person: Person, config: Mapping[str, Any], visitor: Visitor) -> None:
    _refresh(user, person)
    before = _held(user)
    if _grants_apply(user, _wanted(person, config)):
        details = {"before": before, "after": _held(user)}
        audit(
            visitor.known(user), "directory.roles", user.get_username(), target_uid=user.pk, details=details
        )


def _method(person: Person) -> str:
    return LDAP if person.provider == LDAP else "oidc"


def _account_make(person: Person, visitor: Visitor) -> User:
    name = person.username
    if not 0 < len(name) <= _USERNAME_MAX or not name.isprintable():
        raise PolicyDenied("The directory calls you by no name that LibGo can use.", rule="username")
    if User.objects.filter(username__iexact=name).exists():
        raise PolicyDenied(
            f"There is an account “{name}” here that is not the directory's. An administrator must rename or "
            "remove it before you can come in.",
            rule="account_taken",
        )
    user = User(username=name)
    user.set_unusable_password()
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            DirectoryIdentity.objects.create(
                user=user, provider=person.provider, subject=person.subject, seen_at=timezone.now()
            )
    except IntegrityError as error:
        raise Unauthenticated("Your account is just being made. Try again.") from error
    audit(
        visitor.called(name), "user.create", name, target_uid=user.pk, details={"directory": person.provider}
    )
    return user


def _refresh(user: User, person: Person) -> None:
    groups = list(person.groups)
    DirectoryIdentity.objects.filter(user=user).update(groups=groups, seen_at=timezone.now())
    changes: dict[str, Any] = {"email": person.email[:254]}
    if person.provider != LDAP:
        changes["second_factor"] = _PROVIDER_FACTOR
    User.objects.filter(pk=user.pk).update(**changes)


def _wanted(person: Person, config: Mapping[str, Any]) -> dict[uuid.UUID | None, str]:
    """The strongest role by project; None is the site, of which one can only be administrator."""
    groups = {group.lower() for group in person.groups}
    grants = [grant for grant in config["groups"] if grant["group"].lower() in groups]
    projects = {row.name: row.pk for row in Project.objects.all()} if grants else {}
    default = Project.objects.filter(is_default=True).values_list("pk", flat=True).first()
    wanted: dict[uuid.UUID | None, str] = {}
    for grant in grants:
        role, name = grant["role"], grant["project"]
        if name and name not in projects:
            continue
        place = projects[name] if name else (None if role == Role.ADMIN.value else default)
        if place not in wanted or _STRENGTH[role] > _STRENGTH[wanted[place]]:
            wanted[place] = role
    return wanted


def _held(user: User) -> list[str]:
    rows = DirectoryGrant.objects.filter(user=user).select_related("project")
    return sorted(f"{row.role} of {row.project.name if row.project else 'the site'}" for row in rows)


def _grants_apply(user: User, wanted: Mapping[uuid.UUID | None, str]) -> bool:
    """Whether anything changed."""
    held = {row.project_id: row for row in DirectoryGrant.objects.filter(user=user)}
    given = [_give(user, place, role, held.get(place)) for place, role in wanted.items()]
    taken = [_take(user, row) for place, row in held.items() if place not in wanted]
    is_changed = any([*given, *taken])
    if is_changed:
        rights_changed(user.pk)
    return is_changed


def _give(user: User, place: uuid.UUID | None, role: str, grant: DirectoryGrant | None) -> bool:
    if place is None:
        if user.is_superuser:
            return False
        User.objects.filter(pk=user.pk).update(is_superuser=True, is_staff=True)
        DirectoryGrant.objects.update_or_create(user=user, project=None, defaults={"role": role})
        return True
    own = Membership.objects.filter(user=user, project_id=place).first()
    if own is not None and (grant is None or grant.role != own.role):
        # Given or changed by hand since: that stays.
        return False
    if own is not None and own.role == role:
        return False
    Membership.objects.update_or_create(user=user, project_id=place, defaults={"role": role})
    DirectoryGrant.objects.update_or_create(user=user, project_id=place, defaults={"role": role})
    return True


def _take(user: User, grant: DirectoryGrant) -> bool:
    if grant.project_id is None:
        others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
        if not others.exists():
            # The site keeps its last administrator, whatever the directory says.
            return False
        User.objects.filter(pk=user.pk).update(is_superuser=False, is_staff=False)
    else:
        Membership.objects.filter(user=user, project_id=grant.project_id, role=grant.role).delete()
    grant.delete()
    return True
