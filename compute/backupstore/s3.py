"""Backups in a bucket of anything that speaks S3.

A target is an administrator's: its endpoint may well be an inner address, as a storage server of one's
own is. Nobody else names one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from compute.backupstore.store import CHUNK_BYTES, Entry, ObjectNotFound, Store, StoreError
from compute.errors import BackendUnavailable

# A multipart upload has 10,000 parts at most (S3, "Multipart upload limits"): 16 MiB make 156 GiB, and
# from there the parts grow, so that one object reaches S3's own 5 TiB.
_PART_BYTES = 16 * 1024**2
_PART_GROWS_AFTER = 1000
_PART_MOST_BYTES = 512 * 1024**2
_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
_DENIED = frozenset({"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"})


@dataclass(frozen=True)
class S3Place:
    """``endpoint`` empty means AWS itself. ``prefix`` is a folder in the bucket, empty or without slashes
    at its ends."""

    bucket: str
    endpoint: str = ""
    region: str = ""
    prefix: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)


class S3Store(Store):
    """One bucket; safe for one thread, as one operation uses it."""

    def __init__(self, place: S3Place) -> None:
        self._bucket = place.bucket
        self._prefix = f"{place.prefix}/" if place.prefix else ""
        settings = Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"max_attempts": 4, "mode": "standard"},
            s3={"addressing_style": "path" if place.endpoint else "auto"},
            # Older servers know nothing of the check sums that newer clients add by themselves.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        # A session of its own: the one that boto3 keeps would look for credentials of the account.
        with _problems():
            self._client: Any = boto3.session.Session().client(
                "s3",
                endpoint_url=place.endpoint or None,
                region_name=place.region or "us-east-1",
                aws_access_key_id=place.access_key,
                aws_secret_access_key=place.secret_key,
                config=settings,
            )

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        parts = _parts(chunks)
        first = next(parts)
        second = next(parts, None)
        if second is None:
            with _problems():
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=first)
            return len(first)
        return self._put_parts(self._prefix + key, _chain(first, second, parts))

    def get(self, key: str) -> Iterator[bytes]:
        with _problems(key):
            body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]
        with contextlib.closing(body):
            while True:
                with _problems(key):
                    piece = body.read(CHUNK_BYTES)
                if not piece:
                    return
                yield piece

    def list(self, prefix: str) -> Iterator[Entry]:
        pages = self._client.get_paginator("list_objects_v2")
        with _problems():
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for row in page.get("Contents", []):
                    yield Entry(str(row["Key"]).removeprefix(self._prefix), int(row["Size"]))

    def delete(self, key: str) -> None:
        with _problems():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def clear(self, prefix: str) -> int:
        count = super().clear(prefix)
        self._uploads_abort(self._prefix + prefix)
        return count

    def _put_parts(self, key: str, parts: Iterable[bytes]) -> int:
        where = {"Bucket": self._bucket, "Key": key}
        with _problems():
            upload = self._client.create_multipart_upload(**where)["UploadId"]
        made, size, is_whole = [], 0, False
        try:
            for number, part in enumerate(parts, 1):
                with _problems():
                    sent = self._client.upload_part(**where, UploadId=upload, PartNumber=number, Body=part)
                made.append({"PartNumber": number, "ETag": sent["ETag"]})
                size += len(part)
            with _problems():
                self._client.complete_multipart_upload(
                    **where, UploadId=upload, MultipartUpload={"Parts": made}
                )
            is_whole = True
        finally:
            if not is_whole:
                with contextlib.suppress(BotoCoreError, ClientError):
                    self._client.abort_multipart_upload(**where, UploadId=upload)
        return size

    def _uploads_abort(self, prefix: str) -> None:
        """What a killed worker had begun costs space until it is called off."""
        with _problems():
            found = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=prefix)
            for row in found.get("Uploads") or []:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=row["Key"], UploadId=row["UploadId"]
                )


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The parts of an upload; later ones are larger, so that their number stays small."""
    held, size, count = bytearray(), _PART_BYTES, 0
    for chunk in chunks:
        held += chunk
        while len(held) > size:
            yield bytes(held[:size])
            del held[:size]
            count += 1
            if count % _PART_GROWS_AFTER == 0:
                size = min(size * 2, _PART_MOST_BYTES)
    yield bytes(held)


def _chain(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest


@contextlib.contextmanager
def _problems(key: str = "") -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        code = str(told.get("Code", ""))
        if key and code in _ABSENT:
            raise ObjectNotFound(f"The backup lacks “{key.rpartition('/')[2]}”.") from error
        if code in _DENIED:
            raise StoreError("The S3 server refuses these keys. Enter them anew.", reason="denied") from error
        if code == "NoSuchBucket":
            raise StoreError("The S3 server has no such bucket. Make it first.", reason="bucket") from error
        said = str(told.get("Message", ""))[:200]
        raise StoreError(f"The S3 server refused: {code[:50]} {said}".strip(), reason="refused") from error
    except (ConnectionError, HTTPClientError) as error:
        raise BackendUnavailable(
            "The S3 server of this backup target cannot be reached. Check its address and the network.",
            reason="connect",
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise StoreError(f"The S3 server cannot be used: {type(error).__name__}.", reason="client") from error
