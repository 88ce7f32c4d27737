"""Routes of images and registries."""

from __future__ import annotations

from django.urls import URLPattern, path

from dockerapp.api import images as im
from dockerapp.api import registries as r

urlpatterns: list[URLPattern] = [
    path("images", im.Images.as_view()),
    path("images/pull", im.ImagePull.as_view()),
    path("images/push", im.ImagePush.as_view()),
    path("images/build", im.ImageBuild.as_view()),
    path("images/load", im.ImageLoad.as_view()),
    path("images/import", im.ImageImport.as_view()),
    path("images/save", im.ImageSave.as_view()),
    path("images/search", im.ImageSearch.as_view()),
    path("images/prune", im.ImagesPrune.as_view()),
    # The names of images hold slashes.
    path("images/<path:image>/history", im.ImageHistory.as_view()),
    path("images/<path:image>/tag", im.ImageTag.as_view()),
    path("images/<path:image>", im.ImageDetail.as_view()),
    path("registries", r.Registries.as_view()),
    path("registries/<str:registry>", r.RegistryDetail.as_view()),
    path("registries/<str:registry>/test", r.RegistryTest.as_view()),
]
