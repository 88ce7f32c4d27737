"""Shapes of requests and answers about images and registries."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import OperationShape, Paged

Base = s.Serializer


class ImageUser(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    state = s.CharField()


class Named(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()


class DockerImage(Base[Any]):
    id = s.UUIDField()
    name = s.CharField(help_text="The first tag.")
    engine_id = s.CharField()
    node = s.DictField()
    project = Named(allow_null=True)
    size_bytes = s.IntegerField(allow_null=True)
    created_at = s.DateTimeField(allow_null=True)
    tags = s.ListField(child=s.CharField())
    digests = s.ListField(child=s.CharField())
    labels = s.DictField()
    dangling = s.BooleanField()
    used_by_count = s.IntegerField(help_text="All containers, also those of other projects.")
    used_by = ImageUser(many=True)


class DockerImagePage(Paged):
    items = DockerImage(many=True)


class ImageConfig(Base[Any]):
    command = s.ListField(child=s.CharField())
    entrypoint = s.ListField(child=s.CharField())
    env = s.DictField()
    ports = s.ListField(child=s.CharField())
    volumes = s.ListField(child=s.CharField())
    working_dir = s.CharField()
    user = s.CharField()
    stop_signal = s.CharField()
    health_check = s.ListField(child=s.CharField())


class DockerImageDetail(DockerImage):
    architecture = s.CharField()
    os = s.CharField()
    variant = s.CharField()
    author = s.CharField()
    comment = s.CharField()
    parent = s.CharField()  # type: ignore[assignment]
    layers = s.IntegerField()
    last_tagged_at = s.DateTimeField(allow_null=True)
    config = ImageConfig()


class ImageLayer(Base[Any]):
    engine_id = s.CharField(help_text="Empty for a layer that came from a registry.")
    created_at = s.DateTimeField(allow_null=True)
    created_by = s.CharField()
    size_bytes = s.IntegerField()
    tags = s.ListField(child=s.CharField())
    comment = s.CharField()


class ImageHistory(Base[Any]):
    items = ImageLayer(many=True)


class ImagePullRequest(Base[Any]):
    image = s.CharField(max_length=255)
    tag = s.CharField(required=False, allow_blank=True, max_length=200)
    registry = s.CharField(
        required=False, allow_blank=True, max_length=255, help_text="Id, name or host; without: by the host."
    )
    platform = s.CharField(required=False, allow_blank=True, max_length=64, help_text="“linux/arm64”.")


class ImagePushRequest(Base[Any]):
    image = s.CharField(max_length=255)
    tag = s.CharField(required=False, allow_blank=True, max_length=200)
    registry = s.CharField(required=False, allow_blank=True, max_length=255)


class ImageBuildRequest(Base[Any]):
    tag = s.CharField(max_length=255)
    dockerfile = s.CharField(
        required=False,
        max_length=600_000,
        trim_whitespace=False,
        help_text="The text of a Dockerfile; with “remote” its path there.",
    )
    remote = s.CharField(required=False, max_length=2000, help_text="A Git repository or tar; for admins.")
    build_args = s.DictField(child=s.CharField(allow_blank=True, trim_whitespace=False), required=False)
    labels = s.DictField(child=s.CharField(allow_blank=True, trim_whitespace=False), required=False)
    target = s.CharField(required=False, allow_blank=True, max_length=200)
    network = s.CharField(required=False, allow_blank=True, max_length=200)
    platform = s.CharField(required=False, allow_blank=True, max_length=64)
    no_cache = s.BooleanField(required=False)
    pull = s.BooleanField(required=False)


class ImageTagRequest(Base[Any]):
    repository = s.CharField(max_length=255)
    tag = s.CharField(required=False, allow_blank=True, max_length=200)


class ImagePruneRequest(Base[Any]):
    dry_run = s.BooleanField(required=False, help_text="Only say what would go.")
    all = s.BooleanField(required=False, help_text="Also images with a name that no container uses.")


class ImageMade(Base[Any]):
    image = s.DictField()
    operation = OperationShape()


class ImageRemoved(Base[Any]):
    untagged = s.ListField(child=s.CharField())
    deleted = s.ListField(child=s.CharField())
    operation = OperationShape()


class ImagesPruned(Base[Any]):
    dry_run = s.BooleanField()
    count = s.IntegerField()
    reclaimed_bytes = s.IntegerField()
    items = s.ListField(child=s.DictField(), required=False, help_text="With dry_run: what would go.")
    deleted = s.ListField(child=s.CharField(), required=False)
    untagged = s.ListField(child=s.CharField(), required=False)
    operation = OperationShape()


class ImageFound(Base[Any]):
    name = s.CharField()
    description = s.CharField()
    stars = s.IntegerField()
    official = s.BooleanField()


class ImagesFound(Base[Any]):
    items = ImageFound(many=True)


class DockerRegistry(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    url = s.CharField()
    username = s.CharField()
    has_password = s.BooleanField()
    project = Named(allow_null=True)
    created_by = s.CharField(allow_null=True)
    created_at = s.DateTimeField()
    updated_at = s.DateTimeField()


class DockerRegistryPage(Paged):
    items = DockerRegistry(many=True)


class RegistryRequest(Base[Any]):
    name = s.CharField(max_length=63)
    url = s.CharField(max_length=255, help_text="“registry.example.com:5000”; Docker Hub is “docker.io”.")
    username = s.CharField(required=False, allow_blank=True, max_length=255)
    password = s.CharField(
        required=False, allow_blank=True, max_length=20_000, trim_whitespace=False, write_only=True
    )
    project = s.CharField(required=False, allow_null=True, max_length=63, help_text="Null: the whole site.")


class RegistryChange(Base[Any]):
    name = s.CharField(required=False, max_length=63)
    url = s.CharField(required=False, max_length=255)
    username = s.CharField(required=False, allow_blank=True, max_length=255)
    password = s.CharField(
        required=False, allow_blank=True, max_length=20_000, trim_whitespace=False, write_only=True
    )
    project = s.CharField(required=False, allow_null=True, max_length=63)


class RegistryTested(Base[Any]):
    ok = s.BooleanField()
    message = s.CharField()
    code = s.CharField(required=False)
    operation = OperationShape()
