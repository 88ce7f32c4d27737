"""Routes of files in containers and volumes."""

from __future__ import annotations

from django.urls import URLPattern, path

from dockerapp.api import files

urlpatterns: list[URLPattern] = [
    path(f"{thing}/{rest}", view.as_view())
    for thing in ("containers/<str:container>", "volumes/<str:volume>")
    for rest, view in (
        ("archive", files.Archive),
        ("files", files.Files),
        ("files/list", files.FileList),
        ("files/folders", files.Folders),
        ("files/rename", files.Rename),
    )
]
