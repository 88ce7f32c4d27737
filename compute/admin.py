"""Django admin: everything can be looked at; services change accounts, projects and memberships."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from compute.actor import Actor
from compute.admin_site import MatrixAdmin, ReadOnly
from compute.audit import audit
from compute.errors import ComputeError
from compute.models import (
    ApiToken,
    AuditEvent,
    DirectoryIdentity,
    Event,
    IdempotencyKey,
    Instance,
    Membership,
    Node,
    Operation,
    OperationLog,
    Project,
    RefreshToken,
    Resource,
    SignIn,
    User,
)
from compute.selectors.access import action_allowed
from compute.services.accounts import account_changed, account_told, user_delete
from compute.services.projects import (
    PROJECT_LIMITS,
    member_remove,
    member_set,
    project_create,
    project_delete,
    project_update,
)
from compute.services.second_factor import factor_reset
from compute.services.sign_ins import account_lock_out
from compute.told import told_text
from compute.views.common import actor_of
from compute.wording import later, word_text


class MembershipInline(admin.TabularInline):
    """Its rows are saved by ``memberships_save``; whoever may change what it stands in may see it."""

    model = Membership
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return action_allowed(actor_of(request), "site.admin")

    def _may(self, request: HttpRequest, obj: Any = None) -> bool:
        return action_allowed(actor_of(request), "project.member")

    has_add_permission = has_change_permission = has_delete_permission = _may


def memberships_save(actor: Actor, formset: Any) -> None:
    """What an inline says of memberships, by the service that changes them."""
    formset.save(commit=False)
    for row in formset.deleted_objects:
        member_remove(actor, row.project_id, str(row.user_id))
    for row in [*formset.new_objects, *(row for row, _fields in formset.changed_objects)]:
        membership_save(actor, row)


def membership_save(actor: Actor, row: Membership) -> None:
    """Make it so; a row that is about somebody or something else now no longer is about the other."""
    before = Membership.objects.filter(pk=row.pk).first()
    if before is not None and (before.user_id, before.project_id) != (row.user_id, row.project_id):
        member_remove(actor, before.project_id, str(before.user_id))
    member_set(actor, row.project_id, str(row.user_id), row.role)
    row.pk = Membership.objects.get(project=row.project_id, user=row.user_id).pk
    row._state.adding = False


@admin.register(User)
class LibGoUserAdmin(MatrixAdmin, UserAdmin):
    noun = "user"
    verbs = {"view": "read", "add": "create", "change": "update", "delete": "delete"}
    list_display = ("username", "email", "is_active", "is_superuser", "second_factor", "last_login")
    list_filter = ("is_active", "is_superuser", "second_factor")
    # Groups and Django's own permissions decide nothing here: the matrix does.
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (later("Person"), {"fields": ("first_name", "last_name", "email")}),
        (later("Rights"), {"fields": ("is_active", "is_superuser")}),
    )
    filter_horizontal = ()
    actions = ("second_factor_reset",)
    inlines = (MembershipInline,)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        actor, obj.is_staff = actor_of(request), obj.is_superuser
        if not change:
            super().save_model(request, obj, form, change)
            details = {"after": account_told(obj)}
            audit(actor, "user.create", obj.username, target_uid=obj.pk, details=details)
            return
        before = account_told(User.objects.get(pk=obj.pk))
        obj.token_version += 1
        super().save_model(request, obj, form, change)
        account_changed(actor, obj, before, sorted(form.changed_data))

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        user_delete(actor_of(request), obj.pk)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        memberships_save(actor_of(request), formset)

    @admin.action(description=later("Take away the second factor that somebody lost"))
    def second_factor_reset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            try:
                factor_reset(actor_of(request), user.pk)
                self.message_user(request, _("The second factor of %(user)s is off.") % {"user": user})
            except ComputeError as error:
                self.message_user(request, f"{told_text(error.message)} ({user})", messages.ERROR)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """As everywhere, a new password ends what was begun with the old one."""
        response = super().user_change_password(request, id, form_url)
        user = self.get_object(request, unquote(id))
        if user is not None and request.method == "POST" and response.status_code == 302:
            actor = actor_of(request)
            account_lock_out(user, keep=actor.credential if user.pk == actor.user_id else None)
            User.objects.filter(pk=user.pk).update(token_version=F("token_version") + 1)
            audit(actor, "user.update", user.username, target_uid=user.pk, details={"fields": ["password"]})
        return response


@admin.register(Project)
class ProjectAdmin(MatrixAdmin):
    noun = "project"
    verbs = {"view": "read", "add": "create", "change": "update", "delete": "delete"}
    list_display = ("name", "is_default", *PROJECT_LIMITS, "created_at")
    search_fields = ("name", "description")
    fields = ("name", "description", *PROJECT_LIMITS)
    inlines = (MembershipInline,)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or not obj.is_default)

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        actor, given = actor_of(request), dict(form.cleaned_data)
        if change:
            project_update(actor, obj.pk, {name: given[name] for name in form.changed_data})
            return
        obj.pk, obj._state.adding = project_create(actor, given).pk, False
        limits = {name: given[name] for name in PROJECT_LIMITS if given[name] is not None}
        if limits:
            project_update(actor, obj.pk, limits)

    def delete_model(self, request: HttpRequest, obj: Project) -> None:
        project_delete(actor_of(request), obj.pk)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        memberships_save(actor_of(request), formset)


@admin.register(Membership)
class MembershipAdmin(MatrixAdmin):
    noun = "project"
    verbs = {"view": "read", "add": "member", "change": "member", "delete": "member"}
    list_display = ("user", "project", "role")
    list_filter = ("role", "project")
    search_fields = ("user__username", "project__name")

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        membership_save(actor_of(request), obj)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        member_remove(actor_of(request), obj.project_id, str(obj.user_id))


# Django's groups give no right here.
admin.site.unregister(Group)


@admin.register(Node)
class NodeAdmin(ReadOnly):
    # Adding and changing one goes through the page, which tries the engine and seals the credentials.
    list_display = (
        "name",
        "backend",
        "url",
        "status",
        "version",
        "is_enabled",
        "is_draining",
        "last_seen",
        "error",
    )
    list_filter = ("backend", "is_enabled", "is_reachable")
    search_fields = ("name", "url", "hostname")
    exclude = ("options", "secrets")

    @admin.display(description=pgettext_lazy("admin", "Status"))
    def status(self, row: Node) -> str:
        return word_text(row.status)


@admin.register(Instance)
class InstanceAdmin(ReadOnly):
    list_display = ("name", "type", "state", "node", "project", "image", "managed", "updated_at")
    list_filter = ("backend", "state", "type", "managed", "node", "project")
    search_fields = ("name", "image", "engine_id")
    exclude = ("config",)


@admin.register(Resource)
class ResourceAdmin(ReadOnly):
    list_display = ("name", "kind", "node", "project", "size_bytes", "updated_at")
    list_filter = ("kind", "node", "project")
    search_fields = ("name", "engine_id")
    # What an engine tells of a volume may hold a password of its driver.
    exclude = ("data",)


@admin.register(Operation)
class OperationAdmin(ReadOnly):
    list_display = (
        "action",
        "subject",
        "state",
        "progress",
        "user",
        "created_at",
        "finished_at",
        "error_code",
    )
    list_filter = ("state", "action", "node")
    search_fields = ("instance_name", "target", "error_message", "request_id")
    date_hierarchy = "created_at"
    # Parameters may hold what only the engine should see.
    exclude = ("params", "undo_steps")


@admin.register(OperationLog)
class OperationLogAdmin(ReadOnly):
    list_display = ("operation", "timestamp", "line")
    search_fields = ("line",)


@admin.register(Event)
class EventAdmin(ReadOnly):
    list_display = ("seq", "timestamp", "type", "instance_name", "username", "message")
    list_filter = ("type",)
    search_fields = ("instance_name", "message", "username")
    date_hierarchy = "timestamp"


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly):
    list_display = ("timestamp", "username", "action", "target", "result", "remote_address", "request_id")
    list_filter = ("action", "result")
    search_fields = ("username", "target", "request_id")
    date_hierarchy = "timestamp"


@admin.register(RefreshToken)
class RefreshTokenAdmin(ReadOnly):
    list_display = ("user", "created_at", "expires_at", "spent_at", "revoked_at")
    list_filter = ("user",)
    exclude = ("id",)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly):
    list_display = ("name", "user", "scopes", "created_at", "expires_at", "last_used_at", "last_address")
    search_fields = ("name", "user__username", "prefix")


@admin.register(SignIn)
class SignInAdmin(ReadOnly):
    list_display = ("user", "kind", "method", "remote_address", "created_at", "last_used_at", "ended_at")
    list_filter = ("kind", "method")
    search_fields = ("user__username", "remote_address")


@admin.register(DirectoryIdentity)
class DirectoryIdentityAdmin(ReadOnly):
    list_display = ("user", "provider", "subject", "created_at", "seen_at")
    list_filter = ("provider",)
    search_fields = ("user__username", "subject")


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnly):
    list_display = ("user", "key", "operation", "created_at")
    search_fields = ("key",)
