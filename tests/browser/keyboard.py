"""A person without a mouse: at every stop the focus is on the page, in sight and marked."""

from __future__ import annotations

from time import monotonic
from typing import Any

from playwright.sync_api import Page

from tests.live import until

_STOPS_MAX = 90
# What lies over it may be a note that goes by itself.
_TOAST_S = 6.0
# What has the focus; whether one sees that it has it; whether something lies over it.
_STOP = """() => {
    const here = document.activeElement;
    if (!here || here === document.body) return {what: "nothing", marked: true, seen: true};
    const box = here.getBoundingClientRect(), style = getComputedStyle(here);
    const label = here.labels?.[0]?.matches(".btn") ? getComputedStyle(here.labels[0]) : style;
    const row = here.closest("tr"), ground = row ? getComputedStyle(row).backgroundColor : "";
    const ringed = one => one.boxShadow !== "none"
        || (one.outlineStyle !== "none" && parseFloat(one.outlineWidth) > 0);
    const marked = ringed(style) || ringed(label) || (ground && ground !== "rgba(0, 0, 0, 0)")
        || here.matches("main");
    const x = Math.min(innerWidth - 1, Math.max(0, box.left + Math.min(box.width / 2, 40)));
    const y = Math.min(innerHeight - 1, Math.max(0, box.top + Math.min(box.height / 2, 12)));
    const over = document.elementFromPoint(x, y);
    const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    const hidden = style.clipPath !== "none" || style.opacity === "0";
    const seen = inside && (!over || here.contains(over) || over.contains(here)
        || over.closest("label")?.control === here || hidden);
    const words = (here.getAttribute("aria-label") || here.textContent).trim().replace(/\\s+/g, " ");
    const what = `${here.id ? "#" + here.id + " " : ""}${here.tagName.toLowerCase()} “${words.slice(0, 60)}”`;
    return {what, marked, seen};
}"""


class Keyboard:
    """Presses keys on ``page`` and nothing else."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text, delay=15)

    def stop(self) -> str:
        """What has the focus, in words; fails where nobody sees that it has it."""
        self.page.wait_for_timeout(30)
        found: dict[str, Any] = self.page.evaluate(_STOP)
        ends = monotonic() + _TOAST_S
        while not found["seen"] and monotonic() < ends:
            self.page.wait_for_timeout(300)
            found = self.page.evaluate(_STOP)
        assert found["marked"], f"the focus is not marked on {found['what']}"
        assert found["seen"], f"something lies over {found['what']}, or it is out of sight"
        return str(found["what"])

    def is_on(self, selector: str) -> bool:
        return bool(self.page.evaluate("css => Boolean(document.activeElement?.matches(css))", selector))

    def tab_to(self, selector: str, key: str = "Tab") -> None:
        """Press ``key`` until what matches ``selector`` has the focus; every stop on the way is looked at."""
        passed: list[str] = []
        for _ in range(_STOPS_MAX):
            if self.is_on(selector):
                return
            self.press(key)
            passed.append(self.stop())
        raise AssertionError(f"{key} never comes to {selector}: {passed}")

    def follow(self, selector: str, address: str) -> None:
        """To a link or button, Enter, and wait for the page that it opens."""
        self.tab_to(selector)
        self.press("Enter")
        self.page.wait_for_url(address)

    def has(self, selector: str, within_s: float = 10) -> None:
        """The focus comes to it by itself."""
        until(lambda: self.is_on(selector), f"{selector} has the focus", within_s)
        self.stop()
