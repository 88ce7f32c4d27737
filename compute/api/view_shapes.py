"""Shapes of saved views."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, Paged

_QUERY = "As in the address of the page “Instances”: state=running&label=tier=web&sort=-name&group=node."


class SavedViewRequest(Base[Any]):
    name = s.CharField(max_length=40)
    query = s.CharField(max_length=1000, allow_blank=True, required=False, help_text=_QUERY)


class SavedViewShape(Base[Any]):
    id = s.IntegerField()
    name = s.CharField()
    query = s.CharField(help_text=_QUERY)
    created_at = s.DateTimeField()


class SavedViewPage(Paged):
    items = SavedViewShape(many=True)
