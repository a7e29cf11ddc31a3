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

    def send(self, path: str, fields: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Answer:
        """Sends a form as it stands."""
        response = self._client.post(path, data=dict(fields), headers={**self._headers, **(headers or {})})
        return Answer(response.status_code, response.headers, response.get_data())

    def fill_in(self, page: str, action: str, fields: Mapping[str, str], **headers: str) -> Answer:
        """Sends the form of a page, with its hidden fields and these."""
        shown = self.page(page)
        hidden = {str(one["name"]): one.get("value") or "" for one in shown.all("input") if one.get("type") == "hidden"}
        return self.send(action, {**hidden, **fields}, headers=headers)

    def sign_in(self, key: str) -> Answer:
        """Signs in by an API key, as a person would."""
        return self.fill_in("/console/sign-in", "/console/sign-in", {"key": key})

    def keep(self, name: str, value: str | None) -> Browser:
        """Keeps a cookie of another browser; returns itself."""
        self._client.set_cookie(name, value or "")
        return self

    def cookie(self, name: str) -> str | None:
        """What is kept under a name."""
        found = self._client.get_cookie(name)
        return None if found is None else found.value

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


def new_key(doors: Doors, *scopes: str, accounts: frozenset[str] | None = None, expires: int | None = None) -> str:
    """An API key of somebody called shop."""
    return KeyStore(doors.service.store.engine).new(Caller("shop", frozenset(scopes), accounts), expires)[1]


def signed_in(doors: Doors, *scopes: str, accounts: frozenset[str] | None = None) -> Browser:
    """A browser in which somebody has signed in."""
    browser = Browser(doors.service)
    assert browser.sign_in(new_key(doors, *scopes, accounts=accounts)).status == 303
    return browser


def calling(doors: Doors, *scopes: str, accounts: frozenset[str] | None = None) -> Browser:
    return Browser(
        doors.service, KeyStore(doors.service.store.engine).new(Caller("shop", frozenset(scopes), accounts), None)[1]
    )
