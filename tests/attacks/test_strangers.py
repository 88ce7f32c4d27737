"""What a whole console says over the network to somebody it does not know."""

from __future__ import annotations

import http.client
from urllib.parse import quote

import pytest
import requests

from tests.attacks.catalogue import attack
from tests.live import PASSWORD, LiveConsole


def _asked(live: LiveConsole, path: str, *hosts: str) -> tuple[int, str, str]:
    """Status, ``Location`` and body, with these Host headers."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    for host in hosts:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.headers.get("Location", ""), answer.read().decode(errors="replace")
    connection.close()
    return found


@attack(
    "S07",
    "foreign and odd Host headers over the network, on pages and the API",
    refused="400; no address is made of it",
)
@pytest.mark.parametrize(
    "hosts",
    [
        ("evil.example",),
        ("127.0.0.1.evil.example",),
        ("evil.example@127.0.0.1",),
        ("127.0.0.1:80:evil.example",),
        ("evil.example#127.0.0.1",),
        ("127.0.0.1/../evil.example",),
    ],
)
def test_a_foreign_host_is_answered_with_nothing(live: LiveConsole, hosts: tuple[str, ...]) -> None:
    for path in ("/", "/login", "/api/v1/profile", "/admin/", "/api/docs"):
        status, location, body = _asked(live, path, *hosts)
        assert status == 400, f"{path} {hosts}: {status} {location}"
        assert "evil" not in location and "evil.example" not in body


@attack("S07", "a way to elsewhere in a real sign-in over the network", refused="it leads to the dashboard")
@pytest.mark.parametrize(
    "way", ["//evil.example", "https://evil.example/", "/\\evil.example", "/\t/evil.example", "javascript:x"]
)
def test_the_way_back_stays_here(live: LiveConsole, way: str) -> None:
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(f"{live.url}/login?next={quote(way)}", timeout=30)
        form = {"username": "admin", "password": PASSWORD, "next": way}
        after = page.text.partition('name="csrfmiddlewaretoken" value="')[2]
        form["csrfmiddlewaretoken"] = after.partition('"')[0]
        headers = {"Referer": f"{live.url}/login", "Origin": live.url}
        answer = browser.post(
            f"{live.url}/login?next={quote(way)}", form, headers=headers, allow_redirects=False, timeout=30
        )
        assert answer.status_code == 302, answer.text[:300]
        where = answer.headers["Location"]
        assert where.startswith("/") and "evil" not in where and not where.startswith("//"), where


@attack(
    "S89",
    "metrics and the admin site over the network; what health, refusals and the schema tell",
    refused="401 or the login; no version, host, node or path of a file",
)
def test_a_stranger_learns_nothing(live: LiveConsole) -> None:
    known = [str(live.var), "local-docker", "local-kvm", "docker.sock", "qemu", "Traceback", "uvicorn"]
    closed = ["/metrics", "/admin/", "/api/v1/nodes", "/design/"]
    for path in (*closed, "/static/../manage.py"):
        answer = requests.get(f"{live.url}{path}", allow_redirects=False, timeout=30)
        is_to_login = answer.status_code == 302 and "/login" in answer.headers["Location"]
        assert is_to_login or answer.status_code in (401, 403, 404), f"{path}: {answer.status_code}"
        assert not [word for word in known if word in answer.text], path
    for path in ("/api/schema", "/api/docs"):
        # It describes the program, not this site.
        told = requests.get(f"{live.url}{path}", timeout=90).text
        assert not [word for word in (str(live.var), "Traceback", PASSWORD) if word in told], path
    for path in ("/health", "/health/liveness", "/health/readiness", "/nowhere", "/api/v1/nowhere"):
        answer = requests.get(f"{live.url}{path}", timeout=30)
        told = f"{answer.text} {answer.headers}"
        assert not [word for word in known if word in told], path
        assert "server" not in {name.lower() for name in answer.headers}
