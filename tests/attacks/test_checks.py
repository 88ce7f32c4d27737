"""What others' checkers find in this code: nothing that is not explained where it stands."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.attacks.catalogue import attack

_ROOT = Path(__file__).resolve().parent.parent.parent
_CODE = ("compute", "dockerapp", "kvm", "libgo_site")
_PRAGMA = re.compile(r"# nosec\b(?P<id>(?: B\d{3})+)?(?P<reason> # \w.+)?")
# What of Django's advice is not ours to decide, each with its reason.
_LEFT = {
    "security.W005": "subdomains of the site's domain are not LibGo's",
    "security.W008": "the proxy that speaks TLS sends to it; LibGo itself speaks plain HTTP to the proxy",
    "security.W021": "the same as W005",
}


def _python(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=_ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_bandit_finds_nothing_that_is_not_explained() -> None:
    words = ["-m", "bandit", "-q", "-c", "pyproject.toml", "-f", "json", "-r", *_CODE, "manage.py"]
    report = json.loads(_python(*words).stdout)
    assert report["metrics"]["_totals"]["loc"] > 10_000, "it has looked"
    assert not report["errors"]
    assert [(r["filename"], r["line_number"], r["test_id"]) for r in report["results"]] == []


def test_every_exception_for_bandit_names_its_rule_and_its_reason() -> None:
    for folder in _CODE:
        for path in (_ROOT / folder).rglob("*.py"):
            lines = path.read_text().splitlines()
            for number, line in enumerate(lines):
                if (found := _PRAGMA.search(line)) is None:
                    continue
                is_told = found["reason"] or lines[number - 1].lstrip().startswith("# ")
                before = "\n".join(lines[max(0, number - 2) : number])
                assert found["id"] and (is_told or "# " in before), f"{path}:{number + 1}: {line}"


@attack(
    "S62", "a shell between LibGo and the programs it starts", refused="there is none: lists of words only"
)
def test_nothing_goes_through_a_shell() -> None:
    for folder in _CODE:
        for path in (_ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = ast.unparse(node.func)
                at = f"{path}:{node.lineno}: {name}"
                assert name not in ("os.system", "os.popen", "subprocess.getoutput", "eval", "exec"), at
                shells = [word for word in node.keywords if word.arg == "shell"]
                assert not shells, f"{at} with shell="
                if name.startswith("subprocess.") and name.count(".") == 1:
                    assert node.args and not isinstance(node.args[0], ast.Constant | ast.JoinedStr), at


@attack(
    "S05", "a deployment with unsafe settings", refused="manage.py check --deploy names nothing unexplained"
)
def test_django_finds_nothing_in_the_settings_of_production_behind_tls(tmp_path: Path) -> None:
    environ = {
        "DJANGO_SETTINGS_MODULE": "libgo_site.settings.prod",
        "LIBGO_VAR": str(tmp_path),
        "LIBGO_BEHIND_TLS": "1",
        "LIBGO_SECRET_KEY": "",
    }
    done = _python("manage.py", "check", "--deploy", **environ)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"\((\w+\.[EWC]\d+)\)", done.stderr)) == set(_LEFT)


@attack("S05", "a secret key too short to keep", refused="LibGo does not start, and says how to make one")
@pytest.mark.parametrize("key", ["x", "admin", "a" * 31])
def test_a_short_key_stops_the_start(tmp_path: Path, key: str) -> None:
    environ = {"DJANGO_SETTINGS_MODULE": "libgo_site.settings.prod", "LIBGO_VAR": str(tmp_path)}
    done = _python("manage.py", "check", LIBGO_SECRET_KEY=key, **environ)
    assert done.returncode == 2 and "LIBGO_SECRET_KEY" in done.stderr, done.stderr
    assert "a" * 31 not in done.stderr


@attack(
    "S05", "a known key, DEBUG, any host on a fresh install", refused="a random key of 0600; neither of them"
)
def test_a_fresh_install_has_a_key_of_its_own(tmp_path: Path) -> None:
    told = "from django.conf import settings as s; print(s.DEBUG, '*' in s.ALLOWED_HOSTS, s.SECRET_KEY)"
    keys = set()
    for name in ("one", "two"):
        environ = {
            "DJANGO_SETTINGS_MODULE": "libgo_site.settings.prod",
            "LIBGO_VAR": str(tmp_path / name),
            "LIBGO_SECRET_KEY": "",
        }
        debug, any_host, key = _python("-c", told, **environ).stdout.split()
        assert (debug, any_host) == ("False", "False")
        assert len(key) >= 48
        assert (tmp_path / name / "secret_key").stat().st_mode & 0o777 == 0o600
        keys.add(key)
    assert len(keys) == 2


# The first good version of what LibGo stands on, and what was mended there.
_FIRST_GOOD = {
    "Django": ("5.2.15", "CVE-2026-33034, CVE-2026-5766, CVE-2026-1312, CVE-2026-35192"),
    "djangorestframework": ("3.15.2", "CVE-2024-21520"),
    "djangorestframework_simplejwt": ("5.5.1", "CVE-2024-22513"),
    "celery": ("5.2.2", "CVE-2021-23727"),
    "requests": ("2.32.4", "CVE-2024-47081"),
    "pillow": ("11.3.0", "CVE-2025-48379"),
    "PyYAML": ("5.4", "CVE-2020-14343"),
    "orjson": ("3.9.15", "CVE-2024-27454"),
    "cryptography": ("44.0.1", "CVE-2024-12797"),
    "Authlib": ("1.6.5", "CVE-2025-59420, CVE-2025-61920"),
}
_PIN = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[a-z,]+\])?==([0-9][A-Za-z0-9.]*)(?:; .*)?")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", version))


@attack(
    "S90",
    "what LibGo is made of, exchanged or older than its known faults",
    refused="each package has one version, which is what is installed; none is older than its known faults "
    "were mended in; what browsers get has its sum",
)
def test_what_it_is_made_of_is_known() -> None:
    lines = "\n".join((_ROOT / f"requirements{more}.txt").read_text() for more in ("", "-kvm")).splitlines()
    wanted = [line.strip() for line in lines if line.strip() and not line.startswith(("#", "-r"))]
    pins = {match[1]: match[2] for line in wanted if (match := _PIN.fullmatch(line))}
    assert len(pins) == len(wanted), "each has exactly one version"
    for name, version in pins.items():
        assert metadata.version(name) == version, f"{name}: another one is installed"
    for name, (good, faults) in _FIRST_GOOD.items():
        assert _numbers(pins[name]) >= _numbers(good), f"{name} before {good} has {faults}"
    together = _python("-m", "pip", "check")
    assert together.returncode == 0, together.stdout
    packages = json.loads((_ROOT / "package-lock.json").read_text())["packages"]
    for path, package in packages.items():
        assert not path or package["integrity"].startswith("sha512-"), path
