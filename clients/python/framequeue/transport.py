"""HTTP with time-outs, tries and typed errors; everything else in the package calls the API through this."""

from __future__ import annotations

import platform
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from framequeue.errors import APIConnectionError, APIError, RateLimitError, status_error
from framequeue.retry import delay_seconds, may_retry_status, retry_after_seconds
from framequeue.settings import Connection
from framequeue.version import __version__

#: seconds to connect, whatever else a call may take
CONNECT_SECONDS = 10.0
_USER_AGENT = f"framequeue-python/{__version__} python/{platform.python_version()}"
#: nothing was sent, or nothing that could have been acted upon
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API; ``body`` makes the arguments of the request anew for every try."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Mapping[str, Any]] = dict
    #: the call may happen twice without harm
    repeatable: bool = True
    #: seconds without a byte after which it is given up; None: the client's own
    timeout: float | None = None
    #: how often it is tried at most; None: as the client is set
    tries: int | None = None


class Transport:
    """A pool of connections to one API. Threads may share it."""

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float = 60.0,
        max_retries: int = 2,
        http_transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.connection = connection
        self.timeout = timeout
        self.max_retries = max_retries
        #: set once; uploads in other threads stop at their next read
        self.closed = threading.Event()
        self._sleep = sleep or self.closed.wait
        self._api = httpx2.Client(
            base_url=connection.base_url,
            headers={"Authorization": f"Bearer {connection.api_key}", "User-Agent": _USER_AGENT},
            transport=http_transport,
            limits=httpx2.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=30.0),
        )
        # Signed links carry their own proof: the key must never go to the store's host.
        self._store = httpx2.Client(headers={"User-Agent": _USER_AGENT}, transport=http_transport)

    def close(self) -> None:
        """Close the connections; a call that waits for its next try goes on at once."""
        self.closed.set()
        self._api.close()
        self._store.close()

    def pause(self, seconds: float) -> None:
        """Wait, unless the transport is closed meanwhile."""
        self._sleep(seconds)

    def json(self, call: Call) -> Mapping[str, Any]:
        """Return the JSON object that a call answers with. Raises: APIError."""
        return object_of(self.send(call))

    def send(self, call: Call) -> httpx2.Response:
        """Return the read answer of a call, trying again where that may help. Raises: APIError."""
        return self._tries(call, lambda: self._once(call))

    @contextmanager
    def stream(self, call: Call) -> Iterator[httpx2.Response]:
        """Open the answer of a GET for reading piece by piece; a redirect to the store is followed without the key."""
        response = self._tries(call, lambda: self._open(call))
        try:
            yield response
        except httpx2.TransportError as error:
            raise _no_answer(error, self._address(call)) from error
        finally:
            response.close()

    def put_part(self, url: str, body: Callable[[], Any], size: int) -> str:
        """Send one part to a signed URL and return its ETag. Raises: APIError."""
        call = Call("PUT", url)
        # Always octet-stream: some stores read other types as forms.
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        response = self._tries(
            call, lambda: self._store.put(url, content=body(), headers=headers, timeout=self._timeouts(call))
        )
        return str(response.headers.get("etag", "")).strip('"')

    def _once(self, call: Call) -> httpx2.Response:
        return self._api.request(
            call.method, call.path, params=_query(call.query), headers=call.headers,
            timeout=self._timeouts(call), **call.body(),
        )  # fmt: skip

    def _open(self, call: Call) -> httpx2.Response:
        request = self._api.build_request(
            call.method, call.path, params=_query(call.query), headers=call.headers, timeout=self._timeouts(call)
        )
        response = self._api.send(request, stream=True)
        for _ in range(3):
            target = response.next_request
            if target is None:
                break
            response.close()
            own = _origin(target.url) == _origin(httpx2.URL(self.connection.base_url))
            client = self._api if own else self._store
            response = client.send(client.build_request("GET", target.url, timeout=self._timeouts(call)), stream=True)
        if response.status_code >= 400:
            response.read()
        return response

    def _tries(self, call: Call, once: Callable[[], httpx2.Response]) -> httpx2.Response:
        """Run ``once`` until it answers well or trying again is over."""
        if self.closed.is_set():
            raise APIConnectionError("the client was closed", code="client.closed")
        attempt, most = 1, call.tries or self.max_retries + 1
        while True:
            asked: float | None = None
            try:
                response = once()
            except httpx2.TransportError as error:
                if attempt >= most or not (call.repeatable or isinstance(error, _NOT_SENT)):
                    raise _no_answer(error, self._address(call)) from error
            else:
                if response.status_code < 400:
                    return response
                asked = retry_after_seconds(response.headers)
                again = may_retry_status(response.status_code, repeatable=call.repeatable, asked=asked)
                if attempt >= most or not again:
                    raise _refusal(response, asked)
            self.pause(delay_seconds(attempt, asked, random.random))
            attempt += 1

    def _address(self, call: Call) -> str:
        return call.path if "://" in call.path else self.connection.base_url

    def _timeouts(self, call: Call) -> httpx2.Timeout:
        seconds = self.timeout if call.timeout is None else call.timeout
        return httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def object_of(response: httpx2.Response) -> Mapping[str, Any]:
    """Return the JSON object of an answer. Raises: APIError with code answer.malformed."""
    if not response.content:
        return {}
    try:
        document = response.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    raise APIError(
        f"{response.request.url.copy_with(query=None)} did not answer with a JSON object",
        code="answer.malformed",
        request_id=response.headers.get("x-request-id"),
        advice="check that the address is that of a Framequeue API",
    )


def _refusal(response: httpx2.Response, asked: float | None) -> APIError:
    try:
        document = response.json()
    except ValueError:
        document = {}
    error = status_error(
        response.status_code,
        document if isinstance(document, dict) else {},
        request_id=response.headers.get("x-request-id"),
    )
    if isinstance(error, RateLimitError):
        error.retry_after_seconds = asked
    return error


def _no_answer(error: httpx2.TransportError, address: str) -> APIConnectionError:
    slow = isinstance(error, httpx2.TimeoutException)
    url = httpx2.URL(address)
    place = f"{url.scheme}://{url.host}" + (f":{url.port}" if url.port else "")
    return APIConnectionError(
        f"{place} {'took too long to answer' if slow else 'does not answer'} ({error or type(error).__name__})",
        code="connection.timed_out" if slow else "connection.failed",
        advice="is the server up, and the address right?",
    )
