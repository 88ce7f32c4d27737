"""The layout of a backup, in a folder and in a bucket of a real S3 server: whole, or not there; as it was,
or told."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from compute.backupstore.archive import BackupReader, BackupWriter, Manifest, backup_remove
from compute.backupstore.crypt import opened, sealed
from compute.backupstore.local import LocalStore, folder_below
from compute.backupstore.s3 import S3Place, S3Store
from compute.backupstore.store import ObjectNotFound, Store, StoreError
from compute.errors import BackendUnavailable, BackupDamaged, InvalidInput, NotFound, PolicyDenied

KEY, OTHER = b"k" * 32, b"o" * 32
_MIB = 1024**2


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _place(endpoint: str, bucket: str = "") -> S3Place:
    name = bucket or f"b-{uuid.uuid4().hex[:8]}"
    place = S3Place(name, endpoint, "us-east-1", "libgo/site", "key", "secret")
    if not bucket:
        boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key",
            aws_secret_access_key="secret",
        ).create_bucket(Bucket=name)  # fmt: skip
    return place


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path)
    return S3Store(_place(request.getfixturevalue("s3_server")))


def _manifest(backup_id: str) -> Manifest:
    return Manifest(backup_id, "2026-11-29T00:00:00Z", "fake", {"name": "web"}, {"config": {"image": "demo"}})


def _made(store: Store, *parts: bytes) -> str:
    backup_id = str(uuid.uuid4())
    writer = BackupWriter(store, backup_id, KEY)
    for number, data in enumerate(parts):
        writer.part(f"part{number}", [data[:5], data[5:]])
    writer.finish(_manifest(backup_id))
    return backup_id


def test_what_was_put_comes_back_and_goes_whole(store: Store) -> None:
    large = os.urandom(2 * _MIB + 17)
    backup_id = _made(store, large, b"", b"small")
    reader = BackupReader(store, backup_id, [OTHER, KEY])
    assert [part.sha256 for part in reader.manifest.parts][0] == hashlib.sha256(large).hexdigest()
    assert b"".join(reader.part("part0")) == large
    assert [b"".join(reader.part(f"part{n}")) for n in (1, 2)] == [b"", b"small"]
    assert reader.verify() == len(large) + 5
    assert reader.manifest.definition == {"config": {"image": "demo"}}
    raw = b"".join(b"".join(store.get(entry.key)) for entry in store.list(f"backups/{backup_id}/"))
    assert b"demo" not in raw and large[:64] not in raw
    backup_remove(store, backup_id)
    assert list(store.list(f"backups/{backup_id}/")) == []
    with pytest.raises(NotFound):
        BackupReader(store, backup_id, [KEY])


def test_a_flipped_byte_a_lost_part_and_an_exchanged_one_are_told(store: Store) -> None:
    backup_id = _made(store, os.urandom(_MIB + 100), b"two")
    keys = [entry.key for entry in store.list(f"backups/{backup_id}/parts/")]
    first, second = (b"".join(store.get(key)) for key in keys)
    for where in (0, 10, 40, len(first) - 1):
        store.put(keys[0], [first[:where], bytes([first[where] ^ 1]), first[where + 1 :]])
        with pytest.raises((BackupDamaged, BackendUnavailable)):
            BackupReader(store, backup_id, [KEY]).verify()
    # Cut off at the border of a piece, and one sealed object in another's place.
    for wrong in (first[: 32 + _MIB + 16], second):
        store.put(keys[0], [wrong])
        with pytest.raises(BackupDamaged):
            BackupReader(store, backup_id, [KEY]).verify()
    store.delete(keys[0])
    with pytest.raises(ObjectNotFound):
        BackupReader(store, backup_id, [KEY]).verify()


def test_without_a_manifest_there_is_no_backup(store: Store) -> None:
    backup_id = str(uuid.uuid4())
    BackupWriter(store, backup_id, KEY).part("disk", [b"content"])
    with pytest.raises(NotFound, match="never finished"):
        BackupReader(store, backup_id, [KEY])
    other = _made(store, b"x")
    sealed_there = b"".join(store.get(f"backups/{other}/manifest.json"))
    store.put(f"backups/{backup_id}/manifest.json", [sealed_there])
    with pytest.raises(BackupDamaged):
        BackupReader(store, backup_id, [KEY])


def test_a_put_that_breaks_off_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        for _ in range(40):
            yield os.urandom(_MIB)
        raise InterruptedError("the source is gone")

    with pytest.raises(InterruptedError):
        store.put("backups/x/parts/0001-disk", broken())
    assert list(store.list("backups/x/")) == [] and store.clear("backups/x/") == 0
    if isinstance(store, S3Store):
        found = store._client.list_multipart_uploads(Bucket=store._bucket)
        assert not found.get("Uploads")


def test_a_large_object_goes_through_in_little_memory(tmp_path: Path) -> None:
    piece = os.urandom(_MIB)
    store = LocalStore(tmp_path)
    tracemalloc.start()
    BackupWriter(store, "big", KEY).part("disk", (piece for _ in range(96)))
    key = "backups/big/parts/0001-disk"
    size = sum(len(chunk) for chunk in opened(store.get(key), [KEY], key))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 96 * _MIB and most < 16 * _MIB, most


def test_s3_says_why_it_cannot(s3_server: str) -> None:
    with pytest.raises(StoreError, match="no such bucket"):
        S3Store(_place(s3_server, "nowhere-at-all")).put("a/b", [b"x"])
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        S3Store(_place("http://127.0.0.1:9", "any-bucket")).put("a/b", [b"x"])
    with pytest.raises(ObjectNotFound):
        list(S3Store(_place(s3_server)).get("a/b"))


def test_a_backup_of_another_key_says_so() -> None:
    data = list(sealed([b"secret"], KEY, "name"))
    assert b"".join(opened(data, [OTHER, KEY], "name")) == b"secret"
    with pytest.raises(BackendUnavailable, match="another LIBGO_SECRET_KEY"):
        list(opened(data, [OTHER], "name"))


def test_only_folders_below_the_open_roots(tmp_path: Path) -> None:
    root = tmp_path / "open"
    (root / "in").mkdir(parents=True)
    (root / "way-out").symlink_to("/etc")
    assert folder_below(f"{root}/in/new", [str(root)]) == (root / "in" / "new").resolve()
    for wrong in ("/etc", f"{root}/../x", f"{root}/way-out", f"{root}/way-out/ssl", f"{root}-beside", "/"):
        with pytest.raises(PolicyDenied):
            folder_below(wrong, [str(root)])
    with pytest.raises(InvalidInput):
        folder_below("relative", [str(root)])
    store = LocalStore(root)
    for key in ("../x", "a/../../x", "/etc/x", "way-out/x", ""):
        with pytest.raises(StoreError):
            store.put(key, [b"x"])
    with pytest.raises(BackendUnavailable, match="mounted"):
        LocalStore(root / "absent").put("a/b", [b"x"])
