"""``/api/v1``: every route that only KVM has; each noun brings its own."""

from __future__ import annotations

from compute.parts import Routes, routes_of

urlpatterns: Routes = routes_of("kvm.api")
