// Make one piece of a page equal to a newer one and leave alone what did not change: what has the focus
// keeps it, what was scrolled stays, what somebody ticked, typed or opened stays. Children are known by data-key or id.
//
//   libgo.morph(document.getElementById("instances"), newer)     newer is a node of another document; it is used up
//
// Nothing in such a piece may be bound to its element; buttons are listened to from above. Times that count by
// themselves (time.js) are left to do so.
(() => {
  "use strict";
  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id : "");
  const isSameKind = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  const canMove = "moveBefore" in Element.prototype;

  function attributes(old, newer) {
    for (const { name, value } of newer.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      if (!newer.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
    }
  }

  function place(parent, node, before) {
    // Moved without being taken out, it keeps its focus and its pictures.
    if (canMove && node.isConnected && node.parentNode) parent.moveBefore(node, before);
    else parent.insertBefore(node, before);
  }

  function children(old, newer) {
    const keyed = new Map();
    for (const child of old.children) if (keyOf(child)) keyed.set(keyOf(child), child);
    const wanted = new Set();
    for (const child of newer.children) if (keyOf(child)) wanted.add(keyOf(child));
    for (const [key, child] of keyed) if (!wanted.has(key)) child.remove();
    let at = old.firstChild;
    for (const next of [...newer.childNodes]) {
      const known = keyOf(next) && keyed.get(keyOf(next));
      if (known && known.nodeName === next.nodeName) {
        if (known === at) at = at.nextSibling;
        else place(old, known, at);
        one(known, next);
      } else if (at && !keyOf(at) && isSameKind(at, next)) {
        const mine = at;
        at = at.nextSibling;
        one(mine, next);
      } else {
        // Taken out of the newer one, which nobody needs any more: cheaper than a copy.
        old.insertBefore(next, at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  function one(old, newer) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== newer.nodeValue) old.nodeValue = newer.nodeValue;
      return;
    }
    if (old.isEqualNode(newer)) return;
    if (old.nodeName === "TIME" && old.dateTime === newer.dateTime) return;
    attributes(old, newer);
    children(old, newer);
  }

  function morph(old, newer) {
    const focused = document.activeElement;
    one(old, newer);
    if (focused !== document.activeElement && focused.isConnected && old.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
  }

  window.libgo = Object.assign(window.libgo || {}, { morph });
})();
