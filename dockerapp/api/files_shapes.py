"""Shapes of files and folders."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

_TYPES = ("file", "directory", "symlink", "device", "fifo", "socket", "unknown")


class FileShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.ChoiceField(_TYPES)
    size = serializers.IntegerField(help_text="Bytes.")
    mode = serializers.CharField(help_text="Permission bits in octal, such as 0644.")
    uid = serializers.IntegerField(allow_null=True)
    gid = serializers.IntegerField(allow_null=True)
    modified_at = serializers.DateTimeField(allow_null=True)
    link_target = serializers.CharField(allow_null=True, help_text="Of a symlink, as it is written there.")
    target_type = serializers.CharField(
        allow_null=True, help_text="What a symlink leads to: file or directory, where that is known."
    )


class FolderShape(serializers.Serializer[Any]):
    path = serializers.CharField()
    entries = FileShape(many=True)
    truncated = serializers.BooleanField(
        help_text="There is more than was asked for, or the search was given up: a container that does not "
        "run or has no shell is looked through by its archive, for some seconds."
    )
    method = serializers.ChoiceField(("shell", "archive"), help_text="How it was looked at.")


class FileWrittenShape(serializers.Serializer[Any]):
    path = serializers.CharField()
    file = FileShape()
    etag = serializers.CharField(help_text="For If-Match at the next write.")


class FileChangedShape(serializers.Serializer[Any]):
    path = serializers.CharField()


class TreeWrittenShape(serializers.Serializer[Any]):
    path = serializers.CharField()
    entries = serializers.IntegerField()
    content_bytes = serializers.IntegerField(help_text="Of all files together.")
