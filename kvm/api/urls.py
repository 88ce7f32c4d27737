"""``/api/v1``: every route that only KVM has; each noun brings its own."""

from __future__ import annotations

from compute.parts import Routes, by_first_word, routes_of

urlpatterns: Routes = by_first_word(routes_of("kvm.api"))
