"""What LibGo knows of volumes that libvirt has no place for."""

from __future__ import annotations

import uuid

from django.db import models

from compute.models import Node, Project


class VolumeMark(models.Model):
    """Volumes bear no labels, so whose one is stands here, and what format it was made with: libvirt
    would guess that from what a guest wrote."""

    VOLUME, IMAGE = "volume", "image"

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="volume_marks")
    # ``<pool>/<name>``
    engine_id = models.CharField(max_length=255)
    # Without: the host's.
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="volume_marks")
    kind = models.CharField(max_length=16)
    format = models.CharField(max_length=16)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "engine_id"], name="one_mark_per_volume")]

    def __str__(self) -> str:
        return f"{self.kind} {self.engine_id}"


class ImageUpload(models.Model):
    """An upload that can be taken up again: how much of it is in its volume on the node."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="image_uploads")
    # Without: the image will be the host's.
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="image_uploads")
    user_uid = models.UUIDField()
    pool = models.CharField(max_length=128)
    name = models.CharField(max_length=128)
    format = models.CharField(max_length=16, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveBigIntegerField()
    received_bytes = models.PositiveBigIntegerField(default=0)
    # Who writes now; one at a time.
    writer = models.UUIDField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.pool}/{self.name}"
