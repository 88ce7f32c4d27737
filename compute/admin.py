"""Django admin: everything can be looked at; only what has no service behind it can be changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse

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
from compute.services.second_factor import factor_reset
from compute.services.sign_ins import account_lock_out
from compute.views.common import actor_of


class ReadOnly(admin.ModelAdmin):
    """Written by LibGo itself: changing it by hand would make it untrue."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 0


@admin.register(User)
class LibGoUserAdmin(UserAdmin):
    list_display = ("username", "email", "is_active", "is_superuser", "second_factor", "last_login")
    list_filter = ("is_active", "is_superuser", "second_factor")
    actions = ("second_factor_reset",)
    inlines = (MembershipInline,)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and not obj.is_active:
            account_lock_out(obj)
        audit(actor_of(request), "user.update" if change else "user.create", obj.username, target_uid=obj.pk)

    @admin.action(description="Take away the second factor that somebody lost")
    def second_factor_reset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            try:
                factor_reset(actor_of(request), user.pk)
                self.message_user(request, f"The second factor of {user} is off.")
            except ComputeError as error:
                self.message_user(request, f"{error.message} ({user})", messages.ERROR)

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
class ProjectAdmin(admin.ModelAdmin):
    list_display = ("name", "is_default", "max_instances", "max_cpu_cores", "max_memory_bytes", "created_at")
    search_fields = ("name", "description")
    inlines = (MembershipInline,)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or not obj.is_default


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):
    list_display = ("user", "project", "role")
    list_filter = ("role", "project")
    search_fields = ("user__username", "project__name")


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
