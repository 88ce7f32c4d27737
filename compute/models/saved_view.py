"""How somebody likes to look at a list: views under names of their own, and the columns they chose."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class SavedView(models.Model):
    """A name for a query of the list ``page``: what is filtered, how it is sorted and grouped."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=16)
    name = models.CharField(max_length=40)
    query = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [models.UniqueConstraint(fields=["user", "page", "name"], name="saved_view_name_once")]

    def __str__(self) -> str:
        return self.name


class ListColumns(models.Model):
    """Which columns of the list ``page`` somebody wants to see."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    page = models.CharField(max_length=16)
    names = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "page"], name="list_columns_once")]

    def __str__(self) -> str:
        return f"{self.page} of {self.user_id}"
