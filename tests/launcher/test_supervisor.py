"""What the supervisor starts."""

from __future__ import annotations

import pytest

from libgo_site.launch.supervisor import children
from tests.attacks.catalogue import attack


def _web() -> list[str]:
    return next(child.command for child in children() if child.name == "web")


@attack("S03", "X-Forwarded-For from somebody who is no configured proxy", refused="ignored")
def test_nobody_says_from_where_they_ask_but_a_known_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIBGO_TRUSTED_PROXIES", "LIBGO_BEHIND_TLS"):
        monkeypatch.delenv(name, raising=False)
    assert "--no-proxy-headers" in _web() and "--forwarded-allow-ips" not in _web()
    monkeypatch.setenv("LIBGO_TRUSTED_PROXIES", "10.0.0.1,10.0.0.2")
    words = _web()
    assert words[words.index("--forwarded-allow-ips") + 1] == "10.0.0.1,10.0.0.2"
    assert "--no-proxy-headers" not in words
    monkeypatch.delenv("LIBGO_TRUSTED_PROXIES")
    monkeypatch.setenv("LIBGO_BEHIND_TLS", "1")
    words = _web()
    assert words[words.index("--forwarded-allow-ips") + 1] == "127.0.0.1"
