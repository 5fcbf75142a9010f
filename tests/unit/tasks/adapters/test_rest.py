from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tasks import errors
from tasks.adapters import rest
from tests.unit.tasks.api import Api, serving


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as api:
        yield api


def test_get(api: Api) -> None:
    api.answer = {"a": [1]}

    assert rest.get(f"{api.url}/things?x=1", "sesame") == {"a": [1]}
    assert api.asked == [("/things?x=1", "Bearer sesame")]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, errors.AuthenticationError("{host} refused the token (HTTP 401)")),
        (403, errors.AuthenticationError("{host} refused the token (HTTP 403)")),
        (404, errors.InfrastructureError("{host} answered with HTTP 404 Not Found")),
        (429, errors.QuotaError("{host} takes no more requests for now (HTTP 429)")),
        (500, errors.InfrastructureError("{host} answered with HTTP 500 Internal Server Error")),
    ],
)
def test_refused(api: Api, status: int, error: errors.ToolError) -> None:
    api.status = status

    with pytest.raises(type(error)) as caught:
        rest.get(api.url, "sesame")

    assert str(caught.value) == str(error).format(host=api.url.removeprefix("http://"))


@pytest.mark.parametrize(
    ("answer", "message"), [("<html>", "something that is no JSON"), ([1], "something that is no JSON object")]
)
def test_no_object(api: Api, answer: Any, message: str) -> None:
    api.answer = answer

    with pytest.raises(errors.InfrastructureError, match=f"answered with {message}$"):
        rest.get(api.url, "sesame")


def test_redirect_is_not_followed(api: Api) -> None:
    """The token is for the host that it was given for."""
    with serving() as elsewhere:
        api.status, api.headers = 302, {"Location": elsewhere.url}

        with pytest.raises(errors.InfrastructureError, match="answered with HTTP 302 Found"):
            rest.get(api.url, "sesame")

        assert elsewhere.asked == []


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"

    with pytest.raises(errors.NetworkError, match=f"{host} cannot be reached: .*Connection refused"):
        rest.get(f"http://{host}", "sesame")


def test_nobody_answers() -> None:
    """A listener that never accepts: the connection stands, the answer does not come."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"

        with pytest.raises(errors.DeadlineError, match=f"{host} did not answer within 0.1 s"):
            rest.get(f"http://{host}", "sesame", timeout_seconds=0.1)
