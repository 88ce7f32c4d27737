"""The list of instances while two hundred of them are restless: nobody loses their place, their focus, what
they ticked or typed; and the address says all of what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import context_close, sign_in
from tests.fake_crowd import CrowdConsole
from tests.live import until

COUNT = 200


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrowdConsole]:
    console = CrowdConsole(tmp_path_factory.mktemp("crowd") / "var", COUNT)
    try:
        console.start()
        yield console
    finally:
        console.stop()


@pytest.fixture
def listed(chromium: Browser, crowd: CrowdConsole) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    sign_in(context, crowd)
    page.goto(f"{crowd.url}/instances")
    expect(page.locator("#link")).to_have_class(re.compile("status-green"))
    yield page
    crowd.churn(0)
    context_close(context)
    assert complaints == [], "the browser complained"


def _names(page: Page) -> list[str]:
    """At one moment: the list may be drawn again at any."""
    rows = page.locator("tr[data-name]")
    return list(rows.evaluate_all("rows => rows.map(row => row.dataset.name)"))


def _top(page: Page, name: str) -> float:
    box = page.locator(f"tr[data-name='{name}']").bounding_box()
    assert box is not None
    return box["y"]


def test_under_a_storm_place_focus_ticks_and_order_stay(listed: Page, crowd: CrowdConsole) -> None:
    before = _names(listed)
    assert before == sorted(before) and len(before) == 50
    for _ in range(20):
        listed.keyboard.press("j")
    listed.keyboard.press("x")
    focused, top, scroll = before[19], _top(listed, before[19]), listed.evaluate("scrollY")
    assert scroll > 0
    texts = listed.locator("#instances tbody").text_content()
    crowd.churn(50)
    until(lambda: listed.locator("#instances tbody").text_content() != texts, "it is drawn again", 15)
    listed.wait_for_timeout(4000)
    assert listed.evaluate("scrollY") == scroll
    assert listed.evaluate("document.activeElement.textContent") == focused
    assert abs(_top(listed, focused) - top) < 1
    assert _names(listed) == before
    assert listed.locator(f"tr[data-name='{focused}'] [data-bulk-item]").is_checked()
    expect(listed.locator("[data-bulk-count]")).to_have_text("1 selected")
    listed.keyboard.press("j")
    assert listed.evaluate("document.activeElement.textContent") == before[20]


def test_what_leaves_a_filtered_list_while_one_reads_moves_nothing_under_the_eye(
    listed: Page, crowd: CrowdConsole
) -> None:
    listed.goto(f"{crowd.url}/instances?state=running&size=100")
    for _ in range(40):
        listed.keyboard.press("j")
    name = listed.evaluate("document.activeElement.textContent")
    top = _top(listed, name)
    crowd.churn(50, spared=name)
    listed.wait_for_timeout(3000)
    shown = _names(listed)
    assert shown == sorted(shown)
    states = set(listed.locator("tr[data-name] td.col-state .badge:first-child").all_text_contents())
    assert states <= {"running"}, states
    assert name in shown
    assert abs(_top(listed, name) - top) < 1, "what had the focus stays where it is"
    assert listed.evaluate("document.activeElement.textContent") == name


def test_a_search_finds_as_one_types_and_never_loses_a_letter(listed: Page, crowd: CrowdConsole) -> None:
    crowd.churn(20)
    listed.keyboard.press("/")
    listed.keyboard.type("team=shop rack-9 web", delay=25)
    expect(listed.locator("#instances .empty")).to_be_visible()
    expect(listed.locator("#q")).to_have_value("team=shop rack-9 web")
    for _ in range(len(" rack-9 web")):
        listed.keyboard.press("Backspace")
    expect(listed.locator("#found")).to_have_text(re.compile(r"^[1-9]\d* instances$"))
    expect(listed.locator("#q")).to_be_focused()
    expect(listed).to_have_url(re.compile("q=team%3Dshop"))
    listed.keyboard.press("ArrowDown")
    expect(listed.locator("tr[data-name]").first.locator("a.fw-bold")).to_be_focused()


def test_the_address_holds_all_of_it_and_back_goes_back(listed: Page, crowd: CrowdConsole) -> None:
    listed.get_by_role("link", name=re.compile("^Running")).click()
    expect(listed.locator("#views [aria-current]")).to_contain_text("Running")
    listed.select_option("[name=group]", "label:team")
    expect(listed.locator(".group-row").first).to_contain_text(re.compile(r"data\s*\d+"))
    listed.locator(".col-memory a").click()
    expect(listed.locator(".col-memory[aria-sort=descending]")).to_be_visible()
    listed.keyboard.press("n")
    expect(listed.locator(".pagination .active")).to_contain_text("2 /")
    assert listed.url.endswith("?state=running&view=running&group=label%3Ateam&sort=-memory&page=2")
    shown = _names(listed)
    listed.reload()
    assert _names(listed) == shown, "the same address shows the same"
    expect(listed.locator("[name=group]")).to_have_value("label:team")
    for _ in range(3):
        listed.go_back()
    expect(listed.locator("[name=group]")).to_have_value("")
    expect(listed.locator(".group-row")).to_have_count(0)


def test_views_and_columns_are_kept_on_the_server(
    listed: Page, crowd: CrowdConsole, chromium: Browser
) -> None:
    listed.fill("#q", "redis")
    expect(listed.locator("#found")).not_to_have_text(f"{COUNT} instances")
    listed.get_by_role("button", name="View", exact=True).click()
    listed.fill("#view-name", "Caches")
    listed.get_by_role("button", name="Save").click()
    expect(listed.locator("#views [aria-current]")).to_have_text("Caches")
    listed.get_by_role("button", name="Columns").click()
    listed.get_by_label("Labels").check()
    expect(listed.locator("th.col-labels")).to_be_visible()
    _all_columns_can_be_reached(listed)
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    elsewhere = context.new_page()
    sign_in(context, crowd)
    elsewhere.goto(f"{crowd.url}/instances")
    elsewhere.get_by_role("link", name="Caches").click()
    expect(elsewhere.locator("#q")).to_have_value("redis")
    expect(elsewhere.locator("th.col-labels")).to_be_visible()
    elsewhere.get_by_role("button", name="View", exact=True).click()
    elsewhere.get_by_role("button", name="Remove this view").click()
    expect(elsewhere.get_by_role("link", name="Caches")).to_have_count(0)
    context_close(context)


def _all_columns_can_be_reached(listed: Page) -> None:
    """More than the window is wide: the table is scrolled, not the page."""
    for name in ("image", "stack", "ports", "cores"):
        listed.locator(f"[name=columns][value={name}]").check()
        expect(listed.locator(f"th.col-{name}")).to_be_visible()
    listed.keyboard.press("Escape")
    last = listed.locator("tbody tr[data-name] .row-actions").first
    last.scroll_into_view_if_needed()
    box = last.bounding_box()
    assert box and box["x"] + box["width"] <= 1440, box
    assert listed.evaluate("document.documentElement.scrollWidth") <= 1440
    assert listed.evaluate("document.querySelector('.instances-scroll').scrollLeft") > 0


_EDGES = (
    "rows => rows.map(row => [...row.children].map(cell => Math.round(cell.getBoundingClientRect().left)))"
)


def test_the_head_stands_above_its_columns_in_any_window(listed: Page) -> None:
    for width in (360, 768, 1280, 1440, 1920, 2560, 3840):
        listed.set_viewport_size({"width": width, "height": 900})
        listed.wait_for_timeout(100)
        head, line = (
            listed.locator(f"#instances {rows}").first.evaluate(f"row => ({_EDGES})([row])[0]")
            for rows in ("thead tr", "tbody tr[data-name]")
        )
        assert head == line, f"in a window of {width} px"


def test_bars_move_by_one_socket_for_all_rows(listed: Page, crowd: CrowdConsole) -> None:
    sockets: list[str] = []
    listed.on("websocket", lambda socket: sockets.append(socket.url.rpartition("/ws/v1/")[2]))
    listed.goto(f"{crowd.url}/instances?state=running")
    cells = listed.locator("[data-usage=cpu] span")
    first = cells.all_text_contents()
    until(
        lambda: sum(a != b for a, b in zip(first, cells.all_text_contents(), strict=True)) > 40,
        "bars move",
        15,
    )
    assert sorted(sockets) == ["events", "usage"]


def test_ticking_all_that_match_stops_them_with_a_result_for_each(listed: Page, crowd: CrowdConsole) -> None:
    listed.goto(f"{crowd.url}/instances?state=running&type=vm&size=25")
    total = int(str(listed.locator("#instances").get_attribute("data-bulk-total")))
    assert total > 25
    listed.locator("[data-bulk-all]").check()
    listed.get_by_role("button", name=f"Select all {total} that match").click()
    listed.locator("[data-bulk-action=restart]").click()
    listed.locator(".bulk-dialog .btn-primary").click()
    expect(listed.locator(".bulk-dialog p")).to_contain_text(f"of {total} done")
    expect(listed.locator(".bulk-dialog .list-group-item")).to_have_count(total)


def test_the_map_of_two_hundred_is_searched_zoomed_walked_and_clicked_through(
    listed: Page, crowd: CrowdConsole
) -> None:
    listed.goto(f"{crowd.url}/networks/map")
    plates = listed.locator("[data-instance]")
    expect(plates).to_have_count(COUNT)
    name = str(plates.nth(100).get_attribute("data-instance"))
    listed.keyboard.press("/")
    listed.keyboard.type(f"{name} front")
    expect(listed.locator("#map-found")).to_have_text("1 found")
    expect(listed.locator("[data-instance]:not(.netmap-dim)")).to_have_count(1)
    listed.keyboard.press("Enter")
    until(lambda: listed.evaluate("document.activeElement.dataset.instance") == name, "it has the focus", 10)
    width = listed.evaluate("document.querySelector('.netmap').clientWidth")
    listed.keyboard.press("+")
    listed.keyboard.press("+")
    assert listed.evaluate("document.querySelector('.netmap').clientWidth") > width * 1.5
    crowd.churn(50)
    circles = listed.locator(".map-view circle")
    colours = [circle.get_attribute("class") for circle in circles.all()]
    until(lambda: [c.get_attribute("class") for c in circles.all()] != colours, "states move on the map", 20)
    crowd.churn(0)
    assert listed.evaluate("document.activeElement.dataset.instance") == name
    assert listed.evaluate("document.querySelector('.netmap').clientWidth") > width * 1.5, (
        "and the zoom stays"
    )
    _map_is_dragged_and_wheeled(listed, name)
    listed.keyboard.press("Enter")
    expect(listed.locator("h1")).to_have_text(name)


def _map_is_dragged_and_wheeled(listed: Page, name: str) -> None:
    """From the plate that stands in the middle: it goes along, opens nothing, and stays under the pointer."""
    plate = f"[data-instance='{name}']"

    def middle() -> tuple[float, float]:
        box = listed.locator(plate).bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    view = listed.locator(".map-view", has=listed.locator(plate))
    view.evaluate("view => view.scrollTo({ left: 300, top: view.scrollTop, behavior: 'instant' })")
    listed.locator(plate).scroll_into_view_if_needed()
    address, (x, y), left = listed.url, middle(), view.evaluate("view => view.scrollLeft")
    way = -40 if left < 100 else 40
    listed.mouse.move(x, y)
    listed.mouse.down()
    listed.mouse.move(x + way, y, steps=4)
    listed.mouse.up()
    assert abs(view.evaluate("view => view.scrollLeft") - (left - way)) <= 1
    assert abs(middle()[0] - (x + way)) <= 1
    listed.wait_for_timeout(200)
    assert listed.url == address, "a drag is no click"

    width = listed.evaluate("document.querySelector('.netmap').clientWidth")
    listed.keyboard.down("Control")
    listed.mouse.wheel(0, -100)
    until(
        lambda: listed.evaluate("document.querySelector('.netmap').clientWidth") > width * 1.2, "larger", 10
    )
    assert max(abs(now - then) for now, then in zip(middle(), (x + way, y), strict=True)) <= 8
    listed.mouse.wheel(0, 100)
    listed.keyboard.up("Control")
    until(
        lambda: listed.evaluate("document.querySelector('.netmap').clientWidth") < width * 1.1,
        "as before",
        10,
    )
    listed.locator(plate).focus()


def test_the_map_is_a_list_to_read_on_a_phone(listed: Page, crowd: CrowdConsole) -> None:
    listed.set_viewport_size({"width": 390, "height": 844})
    listed.goto(f"{crowd.url}/networks/map")
    expect(listed.locator(".map-view").first).to_be_hidden()
    expect(listed.locator("details").first).to_be_visible()
    listed.fill("#map-q", "web-1")
    expect(listed.locator("details[open] li:not([hidden])").first).to_be_visible()
    assert listed.evaluate("document.documentElement.scrollWidth") <= 390
    listed.goto(f"{crowd.url}/networks/map")
    listed.locator("summary", has_text="front").first.click()
    shown = listed.locator("details[open] li a").all_text_contents()
    assert len(shown) == 26 and shown[-1].startswith(f"{COUNT // 4 - 25} more"), shown
    listed.fill("#map-q", "web-1")
    listed.keyboard.press("Enter")
    listed.wait_for_url("**/instances?q=web-1")
