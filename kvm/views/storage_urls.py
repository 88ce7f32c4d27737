"""Pages of pools, volumes and images."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from kvm.views import images, storage

_POOL, _VOLUME = "storage/<uuid:pool_id>", "volumes/<uuid:volume_id>"
urlpatterns = [
    path("storage", storage.pool_list, name="kvm_storage"),
    path("storage/new", storage.pool_new, name="kvm_pool_new"),
    path(_POOL, storage.pool_page, name="kvm_pool"),
    *(
        path(f"{_POOL}/{action}", storage.pool_act, {"action": action}, name=f"kvm_pool_{action}")
        for action in ("start", "stop", "refresh", "delete")
    ),
    path(f"{_POOL}/volumes/new", storage.volume_new, name="kvm_volume_new"),
    *(
        path(f"{_VOLUME}/{action}", storage.volume_act, {"action": action}, name=f"kvm_volume_{action}")
        for action in ("resize", "wipe", "delete")
    ),
    path(f"{_VOLUME}/clone", storage.volume_clone, name="kvm_volume_clone"),
    path(f"{_VOLUME}/upload", storage.volume_upload, name="kvm_volume_upload"),
    path("images", images.image_list, name="kvm_images"),
    path("images/upload", images.image_upload, name="kvm_image_upload"),
    path("images/new", images.image_new, name="kvm_image_new"),
    path("images/<uuid:image_id>/delete", images.image_remove, name="kvm_image_remove"),
]
menu_register(
    MenuEntry("KVM", "Images", "kvm_images", "disk_image.read", 30, "kvm_image", backend="kvm"),
    MenuEntry(
        "KVM",
        "Storage",
        "kvm_storage",
        "pool.read",
        40,
        ("kvm_storage", "kvm_pool", "kvm_volume"),
        backend="kvm",
    ),
)
