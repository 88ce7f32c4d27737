"""Change the definition of a domain through the tree that libvirt keeps of it.

What others wrote into it (elements and name spaces that LibGo knows nothing of) goes back as it came.
"""

from __future__ import annotations

from collections.abc import Callable

import libvirt

from kvm.engine.device_xml import Element, text_of
from kvm.engine.domain_xml import parse

_WHOLE = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


def definition(domain: libvirt.virDomain) -> Element:
    """What the next start will use, secrets included: never to be shown."""
    return parse(domain.XMLDesc(_WHOLE))


def redefine(conn: libvirt.virConnect, domain: libvirt.virDomain, edit: Callable[[Element], None]) -> None:
    """Apply ``edit`` to the definition; a running domain takes it with its next start."""
    root = definition(domain)
    before = text_of(root)
    edit(root)
    if text_of(root) != before:
        conn.defineXML(text_of(root))


def affected(domain: libvirt.virDomain) -> int:
    """The flags that change a domain now and for its next start, as far as it has both."""
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else 0
    return int(flags | libvirt.VIR_DOMAIN_AFFECT_LIVE) if domain.isActive() else int(flags)
