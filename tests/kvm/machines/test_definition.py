"""The definition as text: shown without secrets, edited by administrators, kept where others wrote it."""

from __future__ import annotations

import libvirt
import pytest
from lxml import etree

from compute.backends.types import Resources, StorageJoin
from compute.errors import InvalidInput, InvalidState, PreconditionFailed
from kvm.engine.device_xml import text_of
from kvm.engine.domain_xml import metadata_read, parse
from tests.attacks.catalogue import attack
from tests.kvm.machines.conftest import MIB, Host

_FOREIGN = "urn:libgo-test:foreign"
_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def _others_write(host: Host, engine_id: str) -> None:
    """Metadata and a command line of somebody else, and a password on the screen."""

    def method(conn: libvirt.virConnect) -> None:
        root = parse(conn.lookupByUUIDString(engine_id).XMLDesc(0))
        foreign = etree.SubElement(root.find("./metadata"), f"{{{_FOREIGN}}}note", nsmap={"f": _FOREIGN})
        foreign.text = "<keep> & me"
        line = etree.SubElement(root, f"{{{_QEMU}}}commandline", nsmap={"qemu": _QEMU})
        etree.SubElement(line, f"{{{_QEMU}}}env", name="LIBGO_T", value="1")
        root.find("./devices/graphics").set("passwd", "s3cret")
        conn.defineXML(text_of(root))

    host.backend._connection.call(method)


def _foreign_is_there(host: Host, engine_id: str) -> bool:
    root = host.xml(engine_id, libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    note = root.findtext(f"./metadata/{{{_FOREIGN}}}note")
    env = root.find(f"./{{{_QEMU}}}commandline/{{{_QEMU}}}env")
    return (
        note == "<keep> & me"
        and env is not None
        and root.find("./devices/graphics").get("passwd") == "s3cret"
        and metadata_read(root)["instance"] == engine_id
    )


def test_what_others_wrote_survives_every_edit(host: Host) -> None:
    backend, report = host.backend, host.report()
    engine_id = host.make().engine_id
    _others_write(host, engine_id)
    backend.instance_reconfigure(
        engine_id, {"boot": ["cdrom", "hd"], "description": "a & <b>", "autostart": True}, report
    )
    backend.instance_update(engine_id, Resources(2, 256 * MIB), report)
    backend.storage_attach(engine_id, StorageJoin(**backend.storage_validate({"size": 4 * MIB})), report)
    backend.machines.nic_attach(engine_id, "default", report)
    backend.machines.medium_change(engine_id, target="", image="", force=False, report=report)
    backend.instance_rename(engine_id, f"{backend.instance_get(engine_id).name}-x", report)
    shown = backend.machines.xml_read(engine_id)
    assert "s3cret" not in shown and "keep" in shown
    backend.machines.xml_write(engine_id, shown.replace("a &amp; &lt;b&gt;", "edited"), shown)
    info = backend.instance_get(engine_id)
    assert info.config["description"] == "edited" and info.config["boot"] == ["cdrom", "hd"]
    assert _foreign_is_there(host, engine_id), "the mark, the note, the command line, the unseen password"


def test_an_edit_is_tried_first_and_says_what_it_changes(host: Host) -> None:
    machines = host.backend.machines
    engine_id = host.make().engine_id
    shown = machines.xml_read(engine_id)
    edited = shown.replace("<on_crash>destroy</on_crash>", "<on_crash>restart</on_crash>")
    change = machines.xml_check(engine_id, edited)
    assert "-  <on_crash>destroy</on_crash>" in change.diff
    assert "+  <on_crash>restart</on_crash>" in change.diff
    assert machines.xml_read(engine_id) == shown, "a trial changes nothing"
    assert "+  <on_crash>restart" in machines.xml_write(engine_id, edited, shown)
    with pytest.raises(PreconditionFailed):
        machines.xml_write(engine_id, edited, shown)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("</domain>", "", "not well formed"),
        ("<domain", "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain", "document type"),
        ("<uuid>", "<uuid>0", "keep the uuid"),
        ("<name>", "<name>other-", "keep the name"),
        ("<vcpu ", "<vcpu cpuset='nonsense' ", "xml"),
        ("type='hvm'>", "type='hvm'>", ""),
    ],
)
def test_a_bad_text_is_refused_and_changes_nothing(host: Host, old: str, new: str, says: str) -> None:
    if not says:
        return
    machines = host.backend.machines
    engine_id = host.make().engine_id
    shown = machines.xml_read(engine_id)
    for attempt in (machines.xml_check, lambda uid, xml: machines.xml_write(uid, xml, "")):
        with pytest.raises(InvalidInput, match=says):
            attempt(engine_id, shown.replace(old, new, 1))
    assert machines.xml_read(engine_id) == shown


@attack("S45", "taking a machine by an edit of its XML", refused="refused")
def test_a_machine_cannot_be_taken_from_its_owner_by_an_edit(host: Host) -> None:
    machines = host.backend.machines
    engine_id = host.make().engine_id
    before = host.backend.instance_get(engine_id)
    shown = machines.xml_read(engine_id)
    stolen = shown.replace(before.project_id, "00000000-0000-4000-8000-000000000000")
    assert stolen != shown
    machines.xml_write(engine_id, stolen, shown)
    assert host.backend.instance_get(engine_id).project_id == before.project_id


def test_the_power_button_is_ignored_and_the_plug_is_not_pulled(host: Host) -> None:
    """A guest without an operating system hears nothing."""
    info = host.make(image="", disk={"size": 4 * MIB}, auto_start=True)
    with pytest.raises(InvalidState) as refused:
        host.backend.instance_stop(info.engine_id, timeout_s=0.5, force=False, report=host.report())
    assert refused.value.details["offer"] == "force" and "force" in refused.value.message
    assert str(host.backend.instance_get(info.engine_id).state) == "running"
    host.backend.instance_stop(info.engine_id, timeout_s=0.5, force=True, report=host.report())
    stopped = host.backend.instance_get(info.engine_id)
    assert (str(stopped.state), stopped.status) == ("stopped", "Forced off")
