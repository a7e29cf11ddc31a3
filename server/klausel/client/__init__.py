"""The client for applications: typed questions over HTTP, answered with deny wherever the service does not answer.

    from klausel.client import Klausel, Resource

    with Klausel("http://127.0.0.1:8080") as klausel:
        if klausel.allows("user:leo", "edit", Resource("quiz", "q1", {"account": "acme", "workspace": "support"})):
            ...

`AsyncKlausel` has the same methods to await. Evaluations and searches work against any AuthZEN decision point; see
`Klausel.discover`.
"""

from klausel.client.answers import CallFailed, Decision, FilterAnswer, Menu, Refused
from klausel.client.clients import AsyncKlausel, Klausel
from klausel.client.entities import EntitiesWritten, Entity, EntityKey
from klausel.client.questions import Action, Question, Resource, Subject

__all__ = [
    "Action",
    "AsyncKlausel",
    "CallFailed",
    "Decision",
    "EntitiesWritten",
    "Entity",
    "EntityKey",
    "FilterAnswer",
    "Klausel",
    "Menu",
    "Question",
    "Refused",
    "Resource",
    "Subject",
]
