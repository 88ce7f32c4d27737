"""Images by API, on the real engine: every row of the contract, and what each role may."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from typing import Any

import pytest
from docker import APIClient
from docker.errors import APIError

from tests.attacks.catalogue import attack
from tests.dockerapp.images.conftest import DEMO, As, context, ended, lines_of
from tests.live import LiveConsole, strain, until

TAR = {"Content-Type": "application/x-tar"}


def _build(ask: As, tag: str, text: str, role: str = "admin", **more: Any) -> Any:
    body = {"tag": tag, "dockerfile": text, "labels": {"libgo.test": "x"}, **more}
    body["labels"] = {"test": "libgo"}
    return ask(role, "POST", "/images/build?wait=60", body)


def test_lists_show_size_age_and_use(ask: As, live: LiveConsole, name: str) -> None:
    live.create(name, "docker")
    found = ask("viewer", "GET", "/images?q=libgo/demo&sort=-size").json()
    row = next(item for item in found["items"] if DEMO in item["tags"])
    assert row["size_bytes"] > 0 and row["created_at"] and not row["dangling"]
    until(
        lambda: (
            name
            in [
                user["name"]
                for item in ask("admin", "GET", "/images?in_use=true&page_size=500").json()["items"]
                for user in item["used_by"]
            ]
        ),
        "the container shows as user",
        5,
    )
    assert ask("admin", "GET", "/images?dangling=true").json()["items"] == [
        item for item in ask("admin", "GET", "/images?dangling=true").json()["items"] if item["dangling"]
    ]
    assert ask("admin", "GET", "/images?colour=red").status_code == 400


def test_an_image_is_found_by_every_name_it_has(ask: As) -> None:
    row = ask("viewer", "GET", f"/images/{DEMO}").json()
    assert row["architecture"] and row["config"]["command"] == ["/start"]
    short = row["engine_id"].removeprefix("sha256:")[:12]
    for name in (row["id"], row["engine_id"], short, "libgo/demo", "docker.io/libgo/demo:latest"):
        again = ask("viewer", "GET", f"/images/{name}")
        assert again.status_code == 200 and again.json()["id"] == row["id"], (name, again.text)
    layers = ask("viewer", "GET", f"/images/{DEMO}/history").json()["items"]
    assert sum(layer["size_bytes"] for layer in layers) > 0
    absent = ask("viewer", "GET", "/images/nobody/has:this")
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "IMAGE_NOT_FOUND")


def test_tags_and_removal(ask: As, space: str, engine: APIClient) -> None:
    made = ask("operator", "POST", f"/images/{DEMO}/tag", {"repository": space, "tag": "1"})
    assert made.status_code == 201 and f"{space}:1" in made.json()["image"]["tags"], made.text
    foreign = ask("operator", "PUT", f"/images/{DEMO}/tag", {"repository": "nginx"})
    assert foreign.json()["error"]["details"]["rule"] == "image_name_space" and foreign.status_code == 403
    assert ask("viewer", "POST", f"/images/{DEMO}/tag", {"repository": space}).status_code == 403
    assert ask("operator", "DELETE", f"/images/{space}:1").status_code == 403
    gone = ask("admin", "DELETE", f"/images/{space}:1")
    assert gone.status_code == 200 and gone.json()["untagged"] == [f"{space}:1"], gone.text
    assert ask("admin", "GET", f"/images/{space}:1").status_code == 404


def test_what_a_container_uses_stays_and_says_who(ask: As, space: str, live: LiveConsole, name: str) -> None:
    tag = f"{space}/used:1"
    assert _build(ask, tag, f"FROM {DEMO}\nENV a={name}\n").status_code == 200
    live.create(name, "docker", config={"image": tag, "network_mode": "none"})
    kept = ask("admin", "DELETE", f"/images/{tag}")
    assert (kept.status_code, kept.json()["error"]["code"]) == (409, "IMAGE_IN_USE")
    assert name in kept.json()["error"]["message"]


def test_a_typed_dockerfile_builds_line_by_line(ask: As, space: str, live: LiveConsole) -> None:
    text = f"FROM {DEMO}\nARG WHO\nRUN echo hello $WHO; printf '\\033[31mred\\033[0m\\n'\n"
    done = _build(ask, f"{space}/a:1", text, "operator", build_args={"WHO": "canary-arg-1"})
    assert done.status_code == 200, done.text
    operation = done.json()["operation"]
    assert operation["result"]["image"]["tags"] == [f"{space}/a:1"]
    lines = lines_of(live, operation)
    assert "hello canary-arg-1" in lines and "red" in lines and "Step 3/4 : RUN" in "\n".join(lines)


def test_a_context_builds_and_what_is_wrong_with_it_is_told(ask: As, space: str) -> None:
    files = {
        "Dockerfile": f"FROM {DEMO}\nCOPY hello /hello\nRUN cat /hello".encode(),
        "hello": b"from the tar\n",
    }
    for role, more in (("operator", ""), ("admin", "&no_cache=true&build_args=%7B%22A%22%3A%221%22%7D")):
        path = f"/images/build?tag={space}/{role}:1&wait=60{more}"
        done = ask(role, "POST", path, data=context(files), headers=TAR)
        assert done.status_code == 200, done.text
    wrong = {
        "dockerfile=other": context(files),
        "x=1": context(files),
        "target=nope": context(files),
        "dockerfile=../x": context(files),
        "platform=quite%20odd": context(files),
        "pull=false": b"no tar at all" * 100,
        "no_cache=false": b"",
        "network=none": context({"Dockerfile": b"FROM"}),
    }
    for query, body in wrong.items():
        refused = ask(
            "operator", "POST", f"/images/build?tag={space}/b:1&wait=60&{query}", data=body, headers=TAR
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_INPUT"), (
            query,
            refused.text,
        )
    odd = ask(
        "operator", "POST", f"/images/build?tag={space}/b:1", data=b"x", headers={"Content-Type": "text/css"}
    )
    assert odd.status_code == 400 and "application/x-tar" in odd.json()["error"]["message"]
    for body in (
        {},
        {"tag": f"{space}/b"},
        {"tag": "A", "dockerfile": "FROM a"},
        [1],
    ):
        assert ask("operator", "POST", "/images/build", body).status_code == 400, body


@attack("S46", "builds that reach the host or fetch, as an operator", refused="403")
@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("host_network", {"network": "host"}),
        ("build_network", {"network": "container:x"}),
        ("build_remote", {"remote": "https://example.com/x.git"}),
        ("image_name_space", {"tag": "nginx:1"}),
        ("build_remote_add", {"dockerfile": f"FROM {DEMO}\nADD http://127.0.0.1/x /"}),
    ],
)
def test_operators_are_held_to_the_policy_of_builds(
    ask: As, space: str, rule: str, change: dict[str, str]
) -> None:
    body = {"tag": f"{space}/x:1", "dockerfile": f"FROM {DEMO}", **change}
    if "remote" in change:
        del body["dockerfile"]
    refused = ask("operator", "POST", "/images/build", body)
    assert refused.status_code == 403, refused.text
    assert (refused.json()["error"]["code"], refused.json()["error"]["details"]["rule"]) == (
        "POLICY_DENIED",
        rule,
    )


def test_the_dockerfile_of_an_upload_is_held_to_it_too(ask: As, space: str) -> None:
    files = {"Dockerfile": f"FROM {DEMO}\nADD http://127.0.0.1/x /".encode(), "big": b"x" * 3_000_000}
    refused = ask(
        "operator", "POST", f"/images/build?tag={space}/x:1&wait=60", data=context(files), headers=TAR
    )
    assert refused.status_code == 403 and refused.json()["error"]["details"]["rule"] == "build_remote_add"


def _env(engine: APIClient, image: str) -> list[str]:
    try:
        return list(engine.inspect_image(image)["Config"]["Env"] or [])
    except APIError:
        return []


def test_a_cancelled_or_failed_build_leaves_nothing(
    ask: As, space: str, live: LiveConsole, engine: APIClient
) -> None:

    def left() -> list[str]:
        """Layers of this test's builds; others build on the same engine."""
        ids = [row["Id"] for row in engine.images(all=True)]
        return [one for one in ids if space in " ".join(_env(engine, one))]

    text = f"FROM {DEMO}\nENV x={space}\nRUN echo one\nRUN echo waiting && sleep 60\n"
    body = {"tag": f"{space}/c:1", "dockerfile": text}
    operation = ask("operator", "POST", "/images/build", body).json()["operation"]
    until(lambda: "waiting" in lines_of(live, operation), "the build waits", 30)
    assert 0 < live.get(f"/operations/{operation['id']}")["progress"] < 100
    assert live.api("DELETE", f"/operations/{operation['id']}").status_code in (200, 202)
    assert ended(live, operation)["state"] == "cancelled"
    until(lambda: left() == [], "its layers are gone", 5)
    assert not [c for c in engine.containers(all=True) if "waiting && sleep" in c["Command"]]
    failed = _build(ask, f"{space}/c:1", f"FROM {DEMO}\nENV y={space}\nRUN exit 3\n")
    assert failed.status_code == 502 and "code: 3" in failed.json()["error"]["message"], failed.text
    until(lambda: left() == [], "its layers are gone", 5)


def test_save_and_load_and_import(ask: As, space: str, engine: APIClient) -> None:
    for name in ("s1", "s2"):
        assert _build(ask, f"{space}/{name}:1", f"FROM {DEMO}\nENV n={space}{name}").status_code == 200
    assert ask("viewer", "GET", f"/images/save?names={space}/s1:1").status_code == 403
    saved = ask("operator", "GET", f"/images/save?names={space}/s1:1,{space}/s2:1")
    assert saved.status_code == 200 and "attachment" in saved.headers["Content-Disposition"]
    with tarfile.open(fileobj=io.BytesIO(saved.content)) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        assert {tag for item in json.load(manifest) for tag in item["RepoTags"]} == {
            f"{space}/s1:1",
            f"{space}/s2:1",
        }
    for name in ("s1", "s2"):
        engine.remove_image(f"{space}/{name}:1")
    assert ask("operator", "POST", "/images/load", data=saved.content, headers=TAR).status_code == 403
    loaded = ask("admin", "POST", "/images/load?wait=60", data=saved.content, headers=TAR)
    assert loaded.status_code == 200, loaded.text
    assert sorted(loaded.json()["operation"]["result"]["images"]) == [f"{space}/s1:1", f"{space}/s2:1"]
    assert ask("admin", "GET", f"/images/{space}/s1:1").status_code == 200
    for body in (b"", b"nonsense" * 200, context({"a": b"1"}), saved.content[: len(saved.content) // 2]):
        wrong = ask("admin", "POST", "/images/load?wait=60", data=body, headers=TAR)
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "INVALID_INPUT"), wrong.text
    path = f"/images/import?image={space}/root:1&changes=CMD%20/start&wait=60"
    made = ask("admin", "POST", path, data=context({"etc/hello": b"1"}), headers=TAR)
    assert made.status_code == 200, made.text
    assert ask("admin", "GET", f"/images/{space}/root:1").json()["config"]["command"] == [
        "/bin/sh",
        "-c",
        "/start",
    ]
    assert (
        ask("admin", "POST", f"/images/import?image={space}/no:1&wait=9", data=b"", headers=TAR).status_code
        == 400
    )
    assert ask("admin", "GET", f"/images/{space}/no:1").status_code == 404


def test_an_upload_that_breaks_off_leaves_nothing(
    ask: As, space: str, live: LiveConsole, engine: APIClient
) -> None:
    saved = ask("admin", "GET", f"/images/save?names={DEMO}").content
    begun = threading.Event()

    def half() -> Any:
        yield saved[: len(saved) // 2]
        begun.set()
        raise OSError("the line is cut")

    with pytest.raises(Exception, match="cut|aborted"):
        ask("admin", "POST", f"/images/import?image={space}/cut:1", data=half(), headers=TAR)
    newest = live.get("/operations?action=image.import&page_size=1")["items"][0]
    assert ended(live, newest)["state"] == "failed"
    assert engine.images(name=f"{space}/cut") == []


def test_prune_says_beforehand_what_goes_and_how_much_it_frees(
    ask: As, space: str, engine: APIClient
) -> None:
    tag = f"{space}/p:1"
    for word in ("one", "two"):
        text = f"FROM {DEMO}\nRUN head -c 3000000 /dev/urandom > /{word}\n"
        assert _build(ask, tag, text, no_cache=True).status_code == 200
    assert ask("operator", "POST", "/images/prune").status_code == 403
    preview = ask("admin", "POST", "/images/prune?dry_run=true").json()
    assert preview["dry_run"] and preview["count"] == len(preview["items"]) > 0
    mine = [item for item in preview["items"] if 3_000_000 <= item["unique_bytes"] < 3_100_000]
    assert mine and preview["reclaimed_bytes"] >= 3_000_000
    assert all(not item["tags"] for item in preview["items"])
    assert mine[0]["engine_id"] in {row["Id"] for row in engine.images(filters={"dangling": True})}
    everything = ask("admin", "POST", "/images/prune", {"dry_run": True, "all": True}).json()
    assert tag in {name for item in everything["items"] for name in item["tags"]}
    engine.remove_image(mine[0]["engine_id"])


def test_search_without_a_way_out_says_so_in_time(ask: As) -> None:
    began = time.monotonic()
    refused = ask("viewer", "GET", "/images/search?term=nginx")
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "BACKEND_ERROR"), refused.text
    assert "cannot search" in refused.json()["error"]["message"] and time.monotonic() - began < 12 * strain()
    assert ask("viewer", "GET", "/images/search?term=").status_code == 400
