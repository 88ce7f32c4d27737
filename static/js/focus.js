// The focus stays where one put it, whatever is drawn again by itself (what is typed: kept.js); it goes into a dialog
// and back out of it.
//
// htmx finds again what has an id; everything else is known here by what it does and says (markOf). What is gone for a
// moment (a button that is locked while its request runs, or that an operation hides) has the focus back when it
// is there again, unless one has gone elsewhere meanwhile; until then the piece it stood in has it.
(() => {
  "use strict";
  const ACTS = ["id", "name", "value", "href", "hx-post", "hx-get", "data-do", "data-bs-target", "aria-label"];
  const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
  const FIELDS = "input:not([type=hidden]), select, textarea";
  let mark = null, opener = null;

  const isNowhere = () => !document.activeElement || document.activeElement === document.body;
  const isOpen = (element) => element.offsetParent !== null && !element.disabled;
  const textOf = (element) => (element.matches("input, select, textarea") ? "" : element.textContent.trim());
  const wordsOf = (element) => [element.tagName, ...ACTS.map((name) => element.getAttribute(name) ?? "")].join("\n");
  const doingsOf = (element) => `${wordsOf(element)}\n${textOf(element)}`;

  // Fields of numbers, choices and the like have none.
  const caretOf = ({ selectionStart, selectionEnd, selectionDirection }) => (selectionStart === null || selectionStart === undefined ? null : [selectionStart, selectionEnd, selectionDirection]);

  // Where one is: the element itself, what it is known by, and the live piece around it.
  function markOf(element) {
    const piece = element.closest("[data-live]");
    return {
      element, words: wordsOf(element), doings: doingsOf(element), pieceId: piece?.id || "", piece,
      number: same(element, piece || document).indexOf(element),
    };
  }

  const same = (element, root) => [...root.querySelectorAll(element.tagName)].filter((other) => wordsOf(other) === wordsOf(element));
  const pieceOf = ({ piece, pieceId }) => (piece?.isConnected ? piece : document.getElementById(pieceId));

  function found({ element, words, doings, number, ...where }) {
    if (element.isConnected && isOpen(element)) return element;
    const root = pieceOf(where) || document;
    const alike = [...root.querySelectorAll(FOCUSABLE)].filter((other) => wordsOf(other) === words && isOpen(other));
    return alike.find((other) => doingsOf(other) === doings) || alike[number] || alike[0];
  }

  function again() {
    if (!mark || !(isNowhere() || document.activeElement === mark.held)) return;
    if (!mark.isLost && mark.element.isConnected) { mark = null; return; }
    const element = found(mark);
    if (element) {
      const { held, wasSeen, caret } = mark;
      element.focus({ preventScroll: true });
      if (caret) element.setSelectionRange(...caret);
      // Who has scrolled away meanwhile stays there.
      if (wasSeen) element.scrollIntoView({ block: "nearest", behavior: "instant" });
      held?.removeAttribute("tabindex");
      return;
    }
    hold(pieceOf(mark));
  }

  // Nothing there to be given it back: its piece, from where the next Tab goes on.
  function hold(piece) {
    if (!piece || mark.held === piece) return;
    mark.held = piece;
    if (!piece.matches(FOCUSABLE)) piece.tabIndex = -1;
    piece.focus({ preventScroll: true });
  }

  document.addEventListener("focusin", (event) => {
    if (mark && event.target === mark.held) return;
    mark = event.target.closest("dialog, .modal") ? null : markOf(event.target);
  });
  document.addEventListener("pointerdown", () => { mark = null; }, true);
  // What was pressed may be locked while its request runs; what nobody touched was left on purpose.
  document.addEventListener("click", (event) => { if (mark?.element.contains(event.target)) mark.isLost = true; }, true);
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!mark || !event.detail.target?.contains(mark.element)) return;
    mark.isLost = true;
    mark.caret = caretOf(mark.element);
    const { top, bottom } = mark.element.getBoundingClientRect();
    mark.wasSeen = bottom > 0 && top < innerHeight;
  });
  document.addEventListener("htmx:afterSettle", again);

  // Buttons are unlocked after this has been told.
  document.addEventListener("htmx:afterRequest", () => setTimeout(again));
  document.addEventListener("drawn", again);

  // What was chosen in a menu is hidden with it.
  document.addEventListener("hidden.bs.dropdown", ({ target }) => {
    if (isNowhere() || target.parentNode.contains(document.activeElement)) target.focus();
  });

  // A dialog of Bootstrap's: what comes into it by htmx comes after it has opened.
  document.addEventListener("show.bs.modal", (event) => { opener = event.relatedTarget ? markOf(event.relatedTarget) : mark; });
  document.addEventListener("hidden.bs.modal", () => {
    if (!opener) return;
    mark = opener;
    opener = null;
    again();
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    const dialog = event.target.closest?.(".modal.show");
    if (!dialog || !(isNowhere() || document.activeElement === dialog)) return;
    [...dialog.querySelectorAll(FIELDS)].find(isOpen)?.focus();
  });
})();
