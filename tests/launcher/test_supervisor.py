"""What the supervisor starts."""

from __future__ import annotations

import pytest

from libgo_site.launch.supervisor import children


def _web() -> list[str]:
    return next(child.command for child in children() if child.name == "web")


def test_nobody_says_from_where_they_ask_but_a_known_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIBGO_TRUSTED_PROXIES", raising=False)
    assert "--no-proxy-headers" in _web() and "--forwarded-allow-ips" not in _web()
    monkeypatch.setenv("LIBGO_TRUSTED_PROXIES", "10.0.0.1,10.0.0.2")
    words = _web()
    assert words[words.index("--forwarded-allow-ips") + 1] == "10.0.0.1,10.0.0.2"
    assert "--no-proxy-headers" not in words
