"""Routes of files in containers."""

from __future__ import annotations

from django.urls import URLPattern, path

from dockerapp.api import files

file_urls: list[URLPattern] = [
    path("containers/<str:container>/archive", files.Archive.as_view()),
    path("containers/<str:container>/files", files.Files.as_view()),
    path("containers/<str:container>/files/list", files.FileList.as_view()),
    path("containers/<str:container>/files/folders", files.Folders.as_view()),
    path("containers/<str:container>/files/rename", files.Rename.as_view()),
]
