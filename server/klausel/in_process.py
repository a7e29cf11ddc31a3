"""Klausel inside an application: the interface of the client over the engine itself, without a server and without HTTP."""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import httpx

from klausel.api.errors import ApiError, unavailable
from klausel.api.evaluations import answer_evaluation, answer_evaluations
from klausel.api.freshness import check_freshness
from klausel.app import create_flask_app, create_service
from klausel.client import CallFailed, Klausel, Refused
from klausel.client.calls import EVALUATION, EVALUATIONS, Answer, Call
from klausel.enforcer.installation import check_installation
from klausel.service.decision_service import PoliciesTooOld, Service
from klausel.settings import Settings
from klausel.storage.sql.access import StorageError

_ADDRESS = "http://localhost"


_INSTANCES: weakref.WeakSet[InProcess] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a process that was forked off, a thread that does not live there may hold a lock; nobody else is there yet."""
    for instance in list(_INSTANCES):
        instance._opening = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


class InProcess(Klausel):
    """The policies of a folder and a database, asked as `Klausel` is; see `open_policies`."""

    def __init__(self, settings: Settings, *, follows: bool, denies: bool) -> None:
        self._settings = settings
        self._follows = follows
        self._opening = threading.Lock()
        self._opened: tuple[int, Service] | None = None
        _INSTANCES.add(self)
        # A first opening tells at once what is wrong.
        service = self._service()
        transport = httpx.WSGITransport(create_flask_app(service), raise_app_exceptions=True)
        super().__init__(_ADDRESS, retries=0, denies=denies, transport=transport)

    def close(self) -> None:
        """Stops following the files, and lets go of the database."""
        super().close()
        if self._opened is not None and self._opened[0] == os.getpid():
            self._end_service(self._opened[1])
        self._opened = None

    def _end_service(self, service: Service) -> None:
        if self._follows:
            service.live.close()
        service.store.close()

    def _service(self) -> Service:
        """The parts in this process. A process that was forked off opens its own: threads and connections do not come along."""
        opened, here = self._opened, os.getpid()
        if opened is not None and opened[0] == here:
            return opened[1]
        with self._opening:
            if self._opened is not None and self._opened[0] == here:
                return self._opened[1]  # another thread was here first
            service = create_service(self._settings)
            if self._follows:
                service.live.follow()
            if opened is not None:
                self._client = httpx.Client(transport=httpx.WSGITransport(create_flask_app(service)))
            self._opened = (here, service)
        return service

    def _send(self, call: Call[Answer], url: str | None = None) -> Answer:
        service = self._service()
        answer = {EVALUATION: answer_evaluation, EVALUATIONS: answer_evaluations}.get(call.path)
        if answer is None or call.body is None:
            return super()._send(call, url)
        try:
            if self.at_least is not None:
                check_freshness(service, self.at_least)
            return call.read(answer(service, dict(call.body), None, None))
        except ApiError as error:
            if error.status < 500:
                raise Refused(error.message, error.status, error.body()) from None
            raise CallFailed(error.message, error.status) from None
        except (StorageError, PoliciesTooOld) as error:
            raise CallFailed(unavailable(error).message, 503) from None


def open_policies(
    policies: str | Path = "policies",
    *,
    database: str = "sqlite:///klausel.db",
    model: str | Path | None = None,
    follows: bool = True,
    denies: bool = True,
) -> InProcess:
    """The policies in a folder with the role assignments of a database, to be asked in this process.

    They follow their files by themselves, unless `follows` is false. Safe to share between threads, and after a fork. Raises
    `PolicyError` for a broken policy set, `StorageError` for an unusable database.
    """
    check_installation()
    settings = Settings(policies=str(policies), database=database)
    if model is not None:
        settings = replace(settings, model=str(model))
    return InProcess(settings, follows=follows, denies=denies)
