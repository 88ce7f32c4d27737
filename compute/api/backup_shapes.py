"""Shapes of backups and their targets."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from compute.api import serializers as s
from compute.states import BackupState


class BackupTargetOptions(s.Base[Any]):
    """Of a local target ``folder``; of S3 the others."""

    folder = serializers.CharField(required=False, max_length=500)
    bucket = serializers.CharField(required=False, max_length=63)
    endpoint = serializers.CharField(
        required=False, allow_blank=True, max_length=300, help_text="Empty: Amazon's own."
    )
    region = serializers.CharField(required=False, allow_blank=True, max_length=40)
    prefix = serializers.CharField(required=False, allow_blank=True, max_length=200)


class BackupTargetRef(s.Base[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class BackupTargetShape(s.Base[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField(help_text="local or s3.")
    options = BackupTargetOptions(help_text="Empty for everyone but administrators.")
    has_credentials = serializers.BooleanField()
    projects = s.ProjectRef(many=True, help_text="Whose backups it takes; empty: everybody's.")
    is_enabled = serializers.BooleanField()
    backups = serializers.IntegerField()
    size_bytes = serializers.IntegerField()
    error = serializers.CharField(help_text="What the last test found; empty when it went well.")
    checked_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class BackupTargetPage(s.Paged):
    items = BackupTargetShape(many=True)


class BackupTargetRequest(s.Base[Any]):
    name = serializers.CharField(max_length=63)
    kind = serializers.CharField(max_length=16, help_text="local or s3.")
    options = serializers.DictField(child=serializers.CharField(allow_blank=True, max_length=500))
    credentials = serializers.DictField(
        required=False,
        child=serializers.CharField(allow_blank=True, max_length=500),
        help_text="Of S3: access_key and secret_key. Sealed, and never read back.",
    )
    projects = serializers.ListField(
        required=False, max_length=500, child=serializers.CharField(max_length=100)
    )
    is_enabled = serializers.BooleanField(required=False, default=True)


class BackupTargetChange(BackupTargetRequest):
    name = serializers.CharField(required=False, max_length=63)
    kind = serializers.CharField(required=False, max_length=16)
    options = serializers.DictField(
        required=False, child=serializers.CharField(allow_blank=True, max_length=500)
    )
    is_enabled = serializers.BooleanField(required=False)


class BackupTargetTested(s.Base[Any]):
    ok = serializers.BooleanField()
    message = serializers.CharField()


class BackupPart(s.Base[Any]):
    name = serializers.CharField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()


class BackupShape(s.Base[Any]):
    id = serializers.UUIDField()
    state = serializers.ChoiceField([state.value for state in BackupState])
    instance = serializers.UUIDField(help_text="It may be gone since.")
    instance_name = serializers.CharField()
    type = serializers.CharField()
    backend = serializers.CharField()
    image = serializers.CharField()
    description = serializers.CharField()
    target = BackupTargetRef()
    project = s.ProjectRef(allow_null=True)
    node = BackupTargetRef(allow_null=True, help_text="Where it was taken.")
    size_bytes = serializers.IntegerField(allow_null=True)
    parts = BackupPart(many=True)
    user = serializers.CharField(allow_null=True)
    problem = serializers.CharField(help_text="What is wrong with it; empty when nothing is.")
    left_out = serializers.ListField(child=serializers.CharField(), help_text="What it does not hold.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    verified_at = serializers.DateTimeField(allow_null=True)


class BackupPage(s.Paged):
    items = BackupShape(many=True)


class InstanceBackupPage(BackupPage):
    left_out = serializers.ListField(
        child=serializers.CharField(), help_text="What of the instance a backup taken now would not hold."
    )


class BackupCreateRequest(s.Base[Any]):
    target = serializers.CharField(max_length=100, help_text="Its id or name.")
    description = serializers.CharField(required=False, allow_blank=True, max_length=500)


class BackupRestoreRequest(s.Base[Any]):
    name = serializers.CharField(max_length=63)
    node = serializers.CharField(
        required=False, allow_null=True, max_length=100, help_text="null: where it came from."
    )
    project = serializers.CharField(
        required=False, allow_null=True, max_length=100, help_text="null: the one it belongs to."
    )
    networks = serializers.ListField(
        child=serializers.CharField(max_length=255),
        required=False,
        allow_null=True,
        max_length=50,
        help_text="Names of networks there; null: those that it had.",
    )
    start = serializers.BooleanField(required=False, default=True)
