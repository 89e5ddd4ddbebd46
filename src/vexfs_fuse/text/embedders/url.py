"""Embedders behind a URL that speaks OpenAI's `POST /v1/embeddings`.

    url:http://127.0.0.1:8080/v1/embeddings#MODEL
    url:http://127.0.0.1:8080/v1/embeddings#model=e5&query_prefix=query:%20&document_prefix=passage:%20
    url:http://127.0.0.1:8080/v1/embeddings#model=e5&query_type=query&document_type=passage

The key, if the server wants one, is in the environment variable `VEXFS_EMBEDDER_KEY`.
"""

import http.client
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

from vexfs_fuse.errors import EmbedderFailed, InvalidArgument
from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.text.embedders.checked import (
    checked_dim,
    checked_fingerprint,
    checked_name,
    unit_vectors,
)

KEY_VARIABLE: Final = "VEXFS_EMBEDDER_KEY"
TIMEOUT_S: Final = 30.0
"""For the answer to one request."""
BATCH_TEXTS: Final = 32
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
RETRY_PAUSES_S: Final = (0.25, 1.0)
"""Between tries; there is one more try than pauses."""

_OK: Final = 200
_WORTH_ANOTHER_TRY: Final = frozenset({408, 429, 500, 502, 503, 504})
_WORDS: Final = frozenset(
    {"model", "query_prefix", "document_prefix", "query_type", "document_type"}
)


class Manner(NamedTuple):
    """How one kind of text is asked for, by models that tell questions and passages apart."""

    prefix: str  # what stands before each text
    input_type: str  # sent beside the texts, if not empty


class UrlEmbedder:
    """One server; asked for a vector when the object is made, to learn how many dimensions it has."""

    def __init__(self, url: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._server = _Server(url, sleep)
        self.name = self._server.model
        try:
            self.dim = self._probed_dim()
            self.fingerprint = checked_fingerprint(f"{self._server.fingerprint()}:{self.dim}")
        except EmbedderFailed:
            self.close()
            raise

    def _probed_dim(self) -> int:
        (vector,) = self._server.embeddings(["dimensions"], self._server.documents)
        return checked_dim(len(vector) if isinstance(vector, list) else None)

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        """Return the server's vectors of passages, asked for in batches."""
        found: list[Any] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            batch = texts[start : start + BATCH_TEXTS]
            found += self._server.embeddings(batch, self._server.documents)
        return unit_vectors(found, len(texts), self.dim)

    def embed_query(self, text: str) -> Floats:
        """Return the server's vector of a question."""
        found = self._server.embeddings([text], self._server.queries)
        vector: Floats = unit_vectors(found, 1, self.dim)[0]
        return vector

    def close(self) -> None:
        """Close the connection."""
        self._server.close()


class _Server:
    """The server, asked over one connection that is kept open."""

    def __init__(self, url: str, sleep: Callable[[float], None]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidArgument(f"{url!r} is no http:// or https:// address of embeddings")
        options = _options(parts.fragment)
        self.model = checked_name(options.get("model", "default"))
        self.queries = _manner(options, "query")
        self.documents = _manner(options, "document")
        self.place = parts.netloc.rpartition("@")[2] + parts.path
        self.told: str | None = None
        """What the server calls its model; it must not change."""
        self._target = parts.path + (f"?{parts.query}" if parts.query else "")
        self._sleep = sleep
        connection = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        try:
            self._connection = connection[parts.scheme](
                parts.hostname, parts.port, timeout=TIMEOUT_S
            )
        except (ValueError, http.client.InvalidURL) as error:
            raise InvalidArgument(f"{url!r}: {error}") from None

    def embeddings(self, texts: Sequence[str], manner: Manner) -> list[Any]:
        """Return what the server gives for each of these texts, in their order."""
        marked = [manner.prefix + text for text in texts]
        question = {"model": self.model, "input": marked, "encoding_format": "float"}
        if manner.input_type:
            question["input_type"] = manner.input_type
        answer = self._parsed(self._posted(json.dumps(question).encode()))
        self._check_model(answer.get("model", self.model))
        return self._in_order(answer.get("data"), len(texts))

    def fingerprint(self) -> str:
        """Return what tells this server's vectors from others, but for their dimensions."""
        manners = "|".join([*self.documents, *self.queries])
        told = f"{self.told}:{manners}" if manners.strip("|") else f"{self.told}"
        return f"{self.place}#{quote(told, safe='|:/')}"

    def close(self) -> None:
        self._connection.close()

    def _posted(self, body: bytes) -> bytes:
        """Post until it is answered, or is not worth another try."""
        for pause_s in (*RETRY_PAUSES_S, None):
            try:
                status, data = self._post_once(body)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                failure = f"{type(error).__name__}: {error}"
            else:
                if status == _OK:
                    return data
                failure = f"status {status}: {data[:200].decode(errors='replace')}"
                if status not in _WORTH_ANOTHER_TRY:
                    break
            if pause_s is not None:
                self._sleep(pause_s)
        raise self._failed(failure)

    def _post_once(self, body: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        self._connection.request("POST", self._target, body, headers)
        response = self._connection.getresponse()
        data = response.read(ANSWER_BYTES_MAX + 1)
        if len(data) > ANSWER_BYTES_MAX:
            self._connection.close()
            raise self._failed("its answer is too long")
        return response.status, data

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(data)
        except ValueError:
            raise self._failed("its answer is no JSON") from None
        if not isinstance(answer, dict):
            raise self._failed("its answer is no JSON object")
        return answer

    def _check_model(self, told: Any) -> None:
        if self.told is None:
            self.told = checked_name(told)
        elif told != self.told:
            raise self._failed(f"it answers with the model {told!r}, before it was {self.told!r}")

    def _in_order(self, entries: Any, count: int) -> list[Any]:
        """Return the vectors in the order of the texts; entries say which text is theirs."""
        try:
            by_index = {
                entry.get("index", number): entry["embedding"]
                for number, entry in enumerate(entries)
            }
            return [by_index[number] for number in range(count)]
        except (AttributeError, KeyError, TypeError):
            raise self._failed("its answer has not an embedding for each text") from None

    def _failed(self, why: str) -> EmbedderFailed:
        return EmbedderFailed(f"{self.place}: {why}")


def _manner(options: dict[str, str], kind: str) -> Manner:
    return Manner(options.get(f"{kind}_prefix", ""), options.get(f"{kind}_type", ""))


def _options(fragment: str) -> dict[str, str]:
    """Return what stands after `#`: the model's name, or several options."""
    if "=" not in fragment:
        return {"model": fragment} if fragment else {}
    options = dict(parse_qsl(fragment))
    if unknown := options.keys() - _WORDS:
        raise InvalidArgument(f"{', '.join(sorted(unknown))}: none of {', '.join(sorted(_WORDS))}")
    return options
