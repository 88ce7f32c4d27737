"""Files of a container: throughput of a tar out and in, beside the engine's own."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing

from tests.bench.figures import Row, value
from tests.bench.run import Found, Site
from tests.bench.spent import spent
from tests.bench.streams import container, http_read, raw_read, throughput
from tests.bench.wire import api_wire, engine_wire

_MIB, _ROUNDS = 64, 12


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
        judged = ours.beside(own).at_least(0.6, "ratio")
        yield judged
        if not judged.is_met:
            yield from _where(site, by_libgo, rounds)
        api.close()


def _where(site: Site, by_libgo: Callable[[], int], rounds: int) -> Iterator[Row]:
    """One after the other: the whole body comes and is put aside, then the engine gets it; it locks the
    container meanwhile, so that a client's pace must not be its own."""
    with spent(site.console, engine=True) as found:
        for _ in range(rounds):
            by_libgo()
    yield value(f"… {_MIB} MiB in: the whole of it", found.took_s / rounds * 1000, "ms")
    yield from found.rows(f"{_MIB} MiB in", rounds)


def _tar(size: int) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("came")
        entry.size = size
        tar.addfile(entry, io.BytesIO(bytes(range(256)) * (size // 256)))
    return data.getvalue()
