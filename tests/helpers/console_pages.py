"""The pages of the console as tests read them: in process, as tags and text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from doors import Answer, Doors
from werkzeug.test import Client

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app
from klausel.core.terms.caller import Caller
from klausel.service.decision_service import Service
from klausel.storage.callers.keys import KeyStore


class Browser:
    """What reads pages: in process, past no check of the service."""

    def __init__(self, service: Service, key: str | None = None) -> None:
        app = create_flask_app(service)
        self._client = Client(EvaluationLane(service, app.wsgi_app))
        self._headers = {"Host": "localhost", **({} if key is None else {"Authorization": f"Bearer {key}"})}

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, **parameters: str) -> Answer:
        address = f"{path}?{urlencode(parameters)}" if parameters else path
        response = self._client.get(address, headers={**self._headers, **(headers or {})})
        return Answer(response.status_code, response.headers, response.get_data())

    def page(self, path: str, **parameters: str) -> Html:
        answer = self.get(path, **parameters)
        assert answer.status == 200, answer.body
        return Html(answer.body.decode())

    def twin(self, path: str, **parameters: str) -> Any:
        answer = self.get(path, **parameters, format="json")
        assert answer.status == 200, answer.body
        return answer.json


class Html(HTMLParser):
    """A page, read: its tags with attributes, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def all(self, tag: str) -> Iterator[Mapping[str, str | None]]:
        return (attributes for name, attributes in self.tags if name == tag)


def calling(doors: Doors, *scopes: str, accounts: frozenset[str] | None = None) -> Browser:
    return Browser(
        doors.service, KeyStore(doors.service.store.engine).new(Caller("shop", frozenset(scopes), accounts), None)[1]
    )
