"""What one operation on many instances has to do, item by item."""

from __future__ import annotations

from django.db import models

from compute.models.operation import Operation
from compute.states import BulkItemState


class BulkItem(models.Model):
    """One instance of a bulk operation. Its operation is made in the transaction that takes the item, so
    no item is carried out twice, and none is lost."""

    parent = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    instance_uid = models.UUIDField()
    # Empty when whoever asked may not see it.
    instance_name = models.CharField(max_length=255, blank=True)
    node_uid = models.UUIDField(null=True)
    state = models.CharField(
        max_length=16, choices=BulkItemState.choices(), default=BulkItemState.WAITING.value
    )
    operation = models.OneToOneField(
        Operation, null=True, on_delete=models.SET_NULL, related_name="bulk_item"
    )
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.CharField(max_length=2000, blank=True)
    error_details = models.JSONField(default=dict)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["parent", "instance_uid"], name="bulk_item_once"),
        ]
        indexes = [models.Index(fields=["parent", "state"])]

    def __str__(self) -> str:
        return f"{self.position}: {self.instance_name or self.instance_uid}"
