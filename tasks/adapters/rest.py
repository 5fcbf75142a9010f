"""Asks a provider's JSON API over HTTP."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tasks import errors

_TIMEOUT_SECONDS = 15.0
_LARGEST_BYTES = 4 << 20
_REFUSED = frozenset({401, 403})
_TOO_MANY = 429


class _NoRedirect(request.HTTPRedirectHandler):
    """Follows no redirect: the token would go along, to whatever host it names."""

    def redirect_request(self, *_: Any) -> None:
        return None


def get(url: str, token: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> dict[str, Any]:
    """The object at `url`, asked for with a bearer token. timeout_seconds: for each wait on the network.

    Raises:
        AuthenticationError: the token was refused.
        QuotaError: too many requests.
        DeadlineError: no answer in time.
        NetworkError: the API cannot be reached.
        InfrastructureError: it answered with something else that is no JSON object.
    """
    host = urlsplit(url).netloc
    asked = request.Request(url, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})  # noqa: S310  http or https, as the settings' pattern says
    try:
        with request.build_opener(_NoRedirect).open(asked, timeout=timeout_seconds) as response:
            answer = json.loads(response.read(_LARGEST_BYTES))
    except HTTPError as error:
        with error:
            raise _refused(error, host) from error
    except (OSError, HTTPException) as error:
        raise _unreachable(error, host, timeout_seconds) from error
    except ValueError as error:
        raise errors.InfrastructureError(f"{host} answered with something that is no JSON") from error
    if not isinstance(answer, dict):
        raise errors.InfrastructureError(f"{host} answered with something that is no JSON object")
    return answer


def _refused(error: HTTPError, host: str) -> errors.ToolError:
    if error.code in _REFUSED:
        return errors.AuthenticationError(f"{host} refused the token (HTTP {error.code})")
    if error.code == _TOO_MANY:
        return errors.QuotaError(f"{host} takes no more requests for now (HTTP {error.code})")
    return errors.InfrastructureError(f"{host} answered with HTTP {error.code} {error.reason}")


def _unreachable(error: Exception, host: str, timeout_seconds: float) -> errors.ToolError:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return errors.DeadlineError(f"{host} did not answer within {timeout_seconds:g} s")
    return errors.NetworkError(f"{host} cannot be reached: {reason}")
