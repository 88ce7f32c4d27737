"""The console in German: no English is left on the pages of the menus and of an instance, and they fit."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache

import pytest
from babel.messages.pofile import read_po
from playwright.sync_api import Browser, Page, expect

from compute.translations.build import catalogue_paths
from tests.browser.conftest import context_close, log_in
from tests.browser.test_accessibility import menu_paths, violations
from tests.live import PASSWORD, LiveConsole
from tests.thorough import cut

_TEXTS = """() => {
  const said = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const at = walk.currentNode.parentElement;
    // pre: logs are what engines and programs wrote.
    // translate="no": what stands there is data (a name, a value as it was given).
    if (!at.closest("script, style, code, pre, kbd, textarea, svg title, [data-name] .name-text")
        && !at.closest("[translate=no]"))
      said.push(walk.currentNode.textContent);
  }
  for (const name of ["title", "aria-label", "placeholder", "alt"])
    document.querySelectorAll(`[${name}]`).forEach((each) => said.push(each.getAttribute(name)));
  return [document.title.split(" · ")[0], ...said].map((text) => text.trim().replace(/\\s+/g, " "));
}"""
# Selects that do not show the whole of what is chosen in them.
_CUT = """() => {
  const pen = document.createElement("canvas").getContext("2d");
  const selects = [...document.querySelectorAll("select:not([multiple])")];
  return selects.filter((each) => each.checkVisibility()).filter((each) => {
    const style = getComputedStyle(each);
    pen.font = style.font;
    const room = each.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    return pen.measureText(each.selectedOptions[0]?.textContent.trim() ?? "").width > room + 1;
  }).map((each) => each.selectedOptions[0].textContent.trim());
}"""
# Messages that are names, too: of libvirt's first network and pool, Docker's networks and drivers, the
# account.
_NAMES = frozenset({"default", "none", "host", "bridge", "local", "json-file", "no", "never", "admin"})
# What the engine itself calls so there (a file of the demo image).
_ENGINES = {"/files": {"start"}}


@cache
def english() -> frozenset[str]:
    """Every message that German says otherwise and that stands alone in a text."""
    found = set()
    for path in catalogue_paths():
        with path.open("rb") as file:
            for message in read_po(file, locale="de"):
                texts = message.id if isinstance(message.id, (tuple, list)) else (message.id,)
                said = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
                found |= {
                    text for text in texts if text and text not in said and not re.search(r"%\(|<", text)
                }
    return frozenset(found - _NAMES)


@pytest.fixture(params=cut([(1440, 900), (390, 844)], 2), ids=lambda size: str(size[0]))
def reader(request: pytest.FixtureRequest, chromium: Browser, live: LiveConsole) -> Iterator[Page]:
    width, height = request.param
    context = chromium.new_context(viewport={"width": width, "height": height}, locale="de-DE")
    page = context.new_page()
    log_in(page, live)
    yield page
    context_close(context)


def _look(page: Page, live: LiveConsole, paths: list[str]) -> list[str]:
    """What is wrong on these pages, a line each. The rules that axe knows hold in any language: the pictures
    ask for them on every page, and here some are asked whose texts are longer."""
    wrong, known, judged = [], english(), set(cut(paths, 4))
    for path in paths:
        page.goto(f"{live.url}{path}")
        page.wait_for_load_state("networkidle")
        said: list[str] = page.evaluate(_TEXTS)
        own = next((names for end, names in _ENGINES.items() if path.endswith(end)), set())
        wrong += [f"{path}: {text!r} is English" for text in sorted((set(said) & known) - own)]
        if path in judged:
            wrong += [f"{path}: {line}" for line in violations(page)]
        wrong += [f"{path}: a select cuts {text!r}" for text in page.evaluate(_CUT)]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append(f"{path}: is wider than the window")
    return wrong


def _happen(live: LiveConsole, name: str) -> None:
    """What the pages of what happened have to tell in words: changes of states, roles, limits and
    schedules, names that are words of ours, an action that failed."""
    live.create(name, "docker")
    for action in ("stop", "start"):
        assert live.api("POST", f"/compute/instances/{name}/{action}?wait=60").status_code == 200
    # Names may be words of ours.
    user, project, schedule = f"u-{name}", "viewer", "stopped"
    target = {"filter": {"q": name, "state": "stopped"}}
    plan = {"name": schedule, "cron": "30 2 * * *", "action": "stop", "target": target}
    account = live.api("POST", "/users", {"username": user, "password": PASSWORD})
    path = f"/users/{account.json()['id']}"
    made = [
        live.api("POST", "/projects", {"name": project}),
        live.api("POST", f"/projects/{project}/members", {"user": user, "role": "viewer"}),
        live.api("POST", f"/projects/{project}/members", {"user": user, "role": "operator"}),
        live.api("PUT", f"/projects/{project}/limits", {"max_instances": 3}),
        live.api("PUT", path, {"is_active": False}),
        live.api("POST", "/compute/schedules", plan),
        live.api("PUT", f"/compute/schedules/{schedule}", {"action": "start", "overlap": "run"}),
        live.api("DELETE", f"/compute/schedules/{schedule}"),
        live.api("DELETE", path),
        live.api("DELETE", f"/projects/{project}"),
    ]
    refused = [f"{answer.request.url}: {answer.text}" for answer in made if answer.status_code >= 300]
    assert refused == []
    body = {"name": f"{name}-x", "backend": "docker", "config": {"image": "libgo/none-of-it:1"}}
    failed = live.api("POST", "/compute/instances?wait=60", body)
    assert live.get("/operations?state=failed&action=instance.create")["items"], failed.text


@pytest.mark.timeout(400)
def test_the_pages_of_the_menus_are_german_and_fit(reader: Page, live: LiveConsole, name: str) -> None:
    _happen(live, name)
    expect(reader.locator("html")).to_have_attribute("lang", "de")
    paths = ["/", "/profile", "/instances/new", "/instances/new?backend=kvm", *menu_paths(reader)]
    assert len(paths) > 20
    found = _look(reader, live, paths)
    assert found == [], "\n".join(found)
    if reader.viewport_size == {"width": 1440, "height": 900}:
        reader.goto(f"{live.url}/instances")
        tops = "parts => parts.filter(part => part.offsetWidth).map(part => part.offsetTop)"
        lines = reader.locator("#table-form > *").evaluate_all(tops)
        assert len(set(lines)) == 1, "search and filters stand in one line"


@pytest.mark.timeout(400)
def test_the_tabs_of_an_instance_are_german_and_fit(reader: Page, live: LiveConsole, name: str) -> None:
    made = live.create(name, "docker")
    reader.goto(f"{live.url}/instances/{made['id']}")
    expect(reader.locator(".nav-tabs a").first).to_be_visible()
    tabs = reader.locator(".nav-tabs a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert len(tabs) > 5
    found = _look(reader, live, [f"/instances/{made['id']}", *tabs])
    assert found == [], "\n".join(found)


@pytest.mark.timeout(400)
def test_what_goes_wrong_is_told_in_german(reader: Page, live: LiveConsole, name: str) -> None:
    """A refused form, the page of what failed, an alert that fires, a schedule's words, and many at once."""
    reader.goto(f"{live.url}/instances/new?backend=docker")
    reader.fill("[name=name]", "-no name-")
    reader.fill("[name=image]", "libgo/none-of-it:1")
    reader.locator("main form button[type=submit]").last.click()
    expect(reader.locator("main .invalid-feedback").first).to_contain_text("muss aus 1 bis 63 Buchstaben")
    reader.fill("[name=name]", name)
    reader.locator("main form button[type=submit]").last.click()
    # The page of the operation.
    wrong = reader.locator("main .alert-danger")
    expect(wrong).to_contain_text("BACKEND_ERROR")
    failed = live.get("/operations?state=failed&action=instance.create")["items"][0]
    assert failed["instance_name"] == name
    expect(wrong).not_to_contain_text(failed["error"]["message"])

    waits = "until [ -e /tmp/go ]; do sleep 0.2; done; exit 3"
    crash = {"image": "libgo/demo:latest", "entrypoint": ["/bin/sh"], "command": ["-c", waits]}
    live.create(name, "docker", config=crash)
    rule = {"name": f"r-{name}", "kind": "instance_down", "for_s": 0, "instance": name}
    assert live.api("POST", "/alerts/rules", rule).status_code == 201
    reader.goto(f"{live.url}/alerts")
    subprocess.run(["docker", "exec", name, "touch", "/tmp/go"], check=True, capture_output=True)
    fires = reader.locator("[data-alert]", has_text=name)
    expect(fires).to_contain_text(f"{name} ist ausgefallen: Mit Exit-Code 3 beendet.")
    assert live.api("DELETE", f"/alerts/rules/r-{name}").status_code == 204

    reader.goto(f"{live.url}/schedules/new")
    reader.fill("[name=cron]", "30 2 * * 1-5")
    expect(reader.get_by_text("Um 02:30 Uhr, Montag bis Freitag")).to_be_visible()

    reader.goto(f"{live.url}/instances?q={name}")
    reader.locator("[data-bulk-item]").check()
    reader.locator("[data-bulk-action=start]").click()
    expect(reader.locator(".bulk-dialog p").first).to_have_text("1 von 1 erledigt")
    expect(reader.locator(".bulk-dialog .list-group-item")).to_contain_text("erledigt")


def test_the_choice_of_the_sign_in_page_and_of_the_profile(chromium: Browser, live: LiveConsole) -> None:
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(f"{live.url}/login")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("heading", name="Anmelden")).to_be_visible()
    log_in(page, live)
    expect(page.get_by_role("heading", name="Übersicht", exact=True)).to_be_visible()
    page.goto(f"{live.url}/profile")
    page.get_by_label("Sprache", exact=True).select_option("en")
    page.locator("#account button[type=submit]").click()
    expect(page.get_by_role("heading", name="Personal tokens")).to_be_visible()
    page.get_by_label("Language", exact=True).select_option("")
    page.locator("#account button[type=submit]").click()
    expect(page.get_by_role("heading", name="Persönliche Tokens")).to_be_visible()
    context_close(context)
