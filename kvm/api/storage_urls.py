"""``/storage`` and ``/kvm/images``."""

from __future__ import annotations

from django.urls import path

from kvm.api import images, pools, volumes

_POOL = "storage/pools/<str:pool>"
_VOLUME = f"{_POOL}/volumes/<str:volume>"

urlpatterns = [
    path("storage/pool-types", pools.PoolTypes.as_view()),
    path("storage/pools", pools.Pools.as_view()),
    path(_POOL, pools.PoolDetail.as_view()),
    path(f"{_POOL}/start", pools.PoolAction.as_view(action="start")),
    path(f"{_POOL}/refresh", pools.PoolAction.as_view(action="refresh")),
    path(f"{_POOL}/stop", pools.PoolStop.as_view()),
    path(f"{_POOL}/volumes", volumes.Volumes.as_view()),
    path(_VOLUME, volumes.VolumeDetail.as_view()),
    path(f"{_VOLUME}/resize", volumes.VolumeResize.as_view()),
    path(f"{_VOLUME}/clone", volumes.VolumeClone.as_view()),
    path(f"{_VOLUME}/wipe", volumes.VolumeWipe.as_view()),
    path(f"{_VOLUME}/upload", volumes.VolumeUpload.as_view()),
    path(f"{_VOLUME}/download", volumes.VolumeDownload.as_view()),
    path("kvm/images", images.Images.as_view()),
    path("kvm/images/uploads", images.ImageUploads.as_view()),
    path("kvm/images/uploads/<str:upload>", images.ImageUploadDetail.as_view()),
    path("kvm/images/<path:image>", images.ImageDetail.as_view()),
]
