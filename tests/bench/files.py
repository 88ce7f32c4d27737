"""Files of a container: throughput of a tar out and in, beside the engine's own."""

from __future__ import annotations

import io
import tarfile
from contextlib import closing

from tests.bench.run import Found, Site
from tests.bench.streams import container, http_read, raw_read, throughput
from tests.bench.wire import api_wire, engine_wire

_MIB, _ROUNDS = 64, 4


def files(site: Site) -> Found:
    size = _MIB * 1024**2
    script = f"head -c {size} /dev/urandom > /big; sync; sleep 600"
    with container(site, script) as name, closing(engine_wire()) as engine:
        token = {"Authorization": f"Bearer {site.console.log_in()}"}
        url = f"{site.console.url}/api/v1/docker/containers/{name}/archive?path=/big"
        while raw_read(f"/containers/{name}/archive?path=/big") < size:
            continue
        rounds = site.few(_ROUNDS)
        own, ours = throughput(
            {
                f"Docker engine: {_MIB} MiB out of a container, as a tar": lambda: raw_read(
                    f"/containers/{name}/archive?path=/big"
                ),
                "LibGo: the same": lambda: http_read(url, token),
            },
            size,
            size,
            rounds,
        )
        yield own
        yield ours.beside(own).at_least(0.6, "ratio")
        tar, api = _tar(size), api_wire(site.console)
        kind = {"Content-Type": "application/x-tar"}

        def by_the_engine() -> int:
            engine.ask("PUT", f"/containers/{name}/archive?path=/tmp", tar, **kind)
            return size

        def by_libgo() -> int:
            api.ask("PUT", f"/docker/containers/{name}/archive?path=/tmp", tar, **kind)
            return size

        into = {
            f"Docker engine: {_MIB} MiB into a container, as a tar": by_the_engine,
            "LibGo: the same in": by_libgo,
        }
        own, ours = throughput(into, size, size, rounds)
        yield own
        yield ours.beside(own).at_least(0.6, "ratio")
        api.close()


def _tar(size: int) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("came")
        entry.size = size
        tar.addfile(entry, io.BytesIO(bytes(range(256)) * (size // 256)))
    return data.getvalue()
