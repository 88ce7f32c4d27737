"""From what the Docker libraries raise to what LibGo can explain, without engine internals."""

from __future__ import annotations

import pytest
import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound

from compute import errors
from dockerapp.engine.errors import engine_errors
from tests.attacks.catalogue import attack


def _refusal(status: int, text: str) -> APIError:
    response = requests.Response()
    response.status_code = status
    kind = NotFound if status == 404 else APIError
    return kind("no", response=response, explanation=text)


def _explained(raised: Exception, *, asks_only: bool = False) -> errors.ComputeError:
    with pytest.raises(errors.ComputeError) as found, engine_errors("here", asks_only=asks_only):
        raise raised
    return found.value


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (404, "No such container: web", errors.InstanceNotFound),
        (404, "No such container: my-network", errors.InstanceNotFound),
        (404, "No such image: web:1", errors.ImageNotFound),
        (404, "network front not found", errors.NetworkNotFound),
        (404, "get data: no such volume", errors.VolumeNotFound),
        (409, 'The container name "/web" is already in use by container "1f"', errors.NameConflict),
        (
            500,
            'creating container storage: the container name "web" is already in use by 1f',
            errors.NameConflict,
        ),
        (409, "Container 1f is not paused", errors.InvalidState),
        (500, "Container 1f is not running", errors.InvalidState),
        (400, "Range of CPUs is from 0.01 to 2.00", errors.InvalidInput),
        (400, "client version 1.50 is too new. Maximum supported", errors.BackendUnavailable),
        (500, "driver failed programming external connectivity on endpoint web: port is already allocated",
         errors.BackendError),
    ],
)  # fmt: skip
def test_each_refusal_has_its_kind(status: int, text: str, kind: type[errors.ComputeError]) -> None:
    assert type(_explained(_refusal(status, text))) is kind


@attack("S77", "paths of the host in what an engine complains of", refused="left out")
def test_paths_of_the_host_and_words_of_the_runtime_stay_out() -> None:
    disk = _explained(_refusal(500, "write /var/lib/docker/overlay2/1f/x: no space left on device"))
    assert disk.details["state"] == "no_space" and "/var" not in disk.message
    command = _explained(
        _refusal(
            400,
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to start "
            'container process: exec: "nope": executable file not found in $PATH: unknown',
        )
    )
    assert command.message.endswith('refused the request: exec: "nope": executable file not found in $PATH')


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (requests.exceptions.ConnectionError(FileNotFoundError(2, "No such file")), "socket does not exist"),
        (requests.exceptions.ConnectionError(ConnectionRefusedError(111, "Connection refused")), "refused"),
        (requests.exceptions.ConnectionError(PermissionError(13, "Permission denied")), "group docker"),
        (requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), "signed by the authority"),
        (requests.exceptions.ConnectTimeout("timed out"), "address does not answer"),
        (urllib3.exceptions.ProtocolError("Connection broken"), "connection failed"),
        (DockerException("odd"), "connection failed"),
        (OSError("odd"), "connection failed"),
    ],
)
def test_an_engine_that_cannot_be_reached_is_unavailable_and_says_why(raised: Exception, words: str) -> None:
    error = _explained(raised)
    assert isinstance(error, errors.BackendUnavailable) and words in error.message


def test_no_answer_in_time_leaves_the_outcome_unknown_unless_it_was_a_question() -> None:
    late = requests.exceptions.ConnectionError("HTTPConnectionPool: Read timed out.")
    assert isinstance(_explained(late), errors.BackendTimeout)
    assert isinstance(_explained(late, asks_only=True), errors.BackendUnavailable)
    assert isinstance(_explained(requests.exceptions.ReadTimeout("x")), errors.BackendTimeout)


def test_what_is_already_explained_passes_unchanged() -> None:
    known = errors.NameConflict("taken")
    assert _explained(known) is known
