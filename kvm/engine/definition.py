"""The definition of a domain: its small changes, and the whole text as administrators edit it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import libvirt
from lxml import etree
from lxml.builder import E

from compute.errors import InvalidInput, PreconditionFailed
from compute.tell import tell
from kvm.engine.connection import Connection
from kvm.engine.device_xml import Element, text_of
from kvm.engine.domain_xml import NAMESPACE, parse
from kvm.engine.domains import lookup
from kvm.engine.edit import affected, definition, redefine
from kvm.engine.errors import reason

XML_MAX = 512 * 1024
_DEFINE_TIMEOUT_S = 60.0
_OWN = f"./metadata/{{{NAMESPACE}}}instance"


def domain_reconfigure(connection: Connection, engine_id: str, changes: Mapping[str, Any]) -> None:
    """``description``, ``autostart`` and ``boot``, as ``changes_check`` gave them. The boot order of a
    running machine waits for its next start."""

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        if "description" in changes:
            kind = libvirt.VIR_DOMAIN_METADATA_DESCRIPTION
            domain.setMetadata(kind, changes["description"] or None, None, None, affected(domain))
        if "autostart" in changes:
            domain.setAutostart(int(changes["autostart"]))
        if "boot" in changes:
            redefine(conn, domain, lambda root: _boot_set(root, changes["boot"]))

    connection.call(method)


def _boot_set(root: Element, order: list[str]) -> None:
    os = root.find("./os")
    for found in os.findall("./boot"):
        os.remove(found)
    for device in root.iterfind("./devices/*"):
        # Libvirt takes either an order of kinds or one of devices.
        for found in device.findall("./boot"):
            device.remove(found)
    os.extend([E.boot(dev=device) for device in order])


@dataclass(frozen=True)
class XmlChange:
    """What an edited definition would change; ``xml`` is what would be defined, ``diff`` in unified
    form without secrets."""

    xml: str
    diff: str


def domain_xml_read(connection: Connection, engine_id: str) -> str:
    """The definition for people: libvirt leaves out its secrets."""

    def method(conn: libvirt.virConnect) -> str:
        return _pretty(parse(lookup(conn, engine_id).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))

    return connection.call(method)


def domain_xml_live(connection: Connection, engine_id: str) -> str:
    """What the running domain is now, without secrets; the definition when it is off."""
    return connection.call(lambda conn: _pretty(parse(lookup(conn, engine_id).XMLDesc(0))))


def domain_xml_check(connection: Connection, engine_id: str, xml: str) -> XmlChange:
    """What defining ``xml`` would change; nothing is changed. Raises ``InvalidInput`` for text that is no
    domain, for another name or UUID, and for what libvirt does not understand."""
    wanted = _wanted(xml)

    def method(conn: libvirt.virConnect) -> XmlChange:
        domain = lookup(conn, engine_id)
        whole = definition(domain)
        _identity_check(wanted, whole)
        _kept(wanted, whole)
        _try(conn, text_of(wanted))
        shown = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        return XmlChange(text_of(wanted), _diff(_pretty(parse(shown)), _pretty(_without_secrets(wanted))))

    return connection.call(method, _DEFINE_TIMEOUT_S)


def domain_xml_write(connection: Connection, engine_id: str, xml: str, before: str) -> str:
    """Define the edited text; returns the diff to what libvirt made of it. ``before`` is the definition
    that was looked at: raises ``PreconditionFailed`` when it is another one by now."""
    wanted = _wanted(xml)

    def method(conn: libvirt.virConnect) -> str:
        domain = lookup(conn, engine_id)
        was = _pretty(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
        if before and was != before:
            raise PreconditionFailed("The definition was changed since you read it. Read it again.")
        whole = definition(domain)
        _identity_check(wanted, whole)
        _kept(wanted, whole)
        try:
            conn.defineXMLFlags(text_of(wanted), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        except libvirt.libvirtError as error:
            if not _is_refusal(error):
                raise
            raise InvalidInput.field("xml", reason(error)) from error
        now = lookup(conn, engine_id).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        return _diff(was, _pretty(parse(now)))

    return connection.call(method, _DEFINE_TIMEOUT_S)


def _wanted(xml: str) -> Element:
    if len(xml) > XML_MAX:
        raise InvalidInput.field("xml", f"must be at most {XML_MAX} characters.")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_blank_text=True
    )
    try:
        root = etree.fromstring(xml.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InvalidInput.field("xml", f"is not well formed: {str(error)[:300]}") from error
    if "<!DOCTYPE" in xml:
        raise InvalidInput.field("xml", "must have no document type.")
    if root.tag != "domain":
        raise InvalidInput.field("xml", "must be one <domain> element.")
    return root


def _identity_check(wanted: Element, whole: Element) -> None:
    for name in ("name", "uuid"):
        given, now = wanted.findtext(f"./{name}"), whole.findtext(f"./{name}")
        if (given or "").strip().lower() != str(now).lower():
            how = tell("rename it instead") if name == "name" else tell("it says which machine this is")
            raise InvalidInput.field("xml", f"must keep the {name} {now}; {how}.")


def _kept(wanted: Element, whole: Element) -> None:
    """What is not the editor's to change, or could not be seen by them: LibGo's mark, and passwords,
    which the shown text leaves out."""
    for found in wanted.findall(_OWN):
        found.getparent().remove(found)
    mark = whole.find(_OWN)
    if mark is not None:
        metadata = wanted.find("./metadata")
        if metadata is None:
            metadata = E.metadata()
            wanted.append(metadata)
        metadata.append(mark)
    for now in whole.iterfind("./devices/graphics[@passwd]"):
        same = wanted.find(f"./devices/graphics[@type='{now.get('type')}']")
        if same is not None and "passwd" not in same.attrib:
            for name in ("passwd", "passwdValidTo"):
                if now.get(name):
                    same.set(name, now.get(name))


def _without_secrets(root: Element) -> Element:
    shown = parse(text_of(root))
    for found in shown.iterfind("./devices/graphics[@passwd]"):
        del found.attrib["passwd"]
    return shown


def _try(conn: libvirt.virConnect, xml: str) -> None:
    """libvirt cannot define for a trial; turning the text into a command line reads it as carefully."""
    try:
        conn.domainXMLToNative("qemu-argv", xml, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return
        if not _is_refusal(error):
            raise
        raise InvalidInput.field("xml", reason(error)) from error


def _is_refusal(error: libvirt.libvirtError) -> bool:
    return error.get_error_code() in (
        libvirt.VIR_ERR_XML_ERROR,
        libvirt.VIR_ERR_XML_DETAIL,
        libvirt.VIR_ERR_XML_INVALID_SCHEMA,
        libvirt.VIR_ERR_INVALID_ARG,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        libvirt.VIR_ERR_INTERNAL_ERROR,
    )


def _pretty(root: Element) -> str:
    parser = etree.XMLParser(remove_blank_text=True, resolve_entities=False, no_network=True)
    clean = etree.fromstring(text_of(root).encode(), parser)
    return str(etree.tostring(clean, encoding="unicode", pretty_print=True))


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "now", "then", lineterm="", n=3)
    return "\n".join(lines)
