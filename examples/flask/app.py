"""Quizzes and dashboards in Flask: a guarded view, a filtered list, a menu, a people picker."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from flask import Flask, abort, jsonify, request, session
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from klausel.client import Klausel
from klausel.flask import Guard

ROOT = Path(__file__).parents[2]


class Base(DeclarativeBase):
    """The tables of the application."""


class Quiz(Base):
    """A quiz in a workspace."""

    __tablename__ = "quizzes"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    account: Mapped[str]
    workspace: Mapped[str]
    status: Mapped[str] = mapped_column(default="draft")
    creator: Mapped[str | None]


class Dashboard(Base):
    """A dashboard of one person in a workspace."""

    __tablename__ = "dashboards"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    account: Mapped[str]
    workspace: Mapped[str]


def create_app(klausel: Klausel, database: str = "sqlite://") -> Flask:
    """The application, which asks `klausel`, with its rows in a database."""
    app = Flask(__name__)
    app.secret_key = os.environ.get("SECRET_KEY", "for the example")
    own_memory = {"poolclass": StaticPool} if database == "sqlite://" else {}
    engine = create_engine(database, connect_args={"check_same_thread": False}, **own_memory)
    app.extensions["engine"] = engine
    Base.metadata.create_all(engine)
    fill(engine)

    guard = Guard(klausel, subject=lambda: f"user:{session['name']}" if "name" in session else None)
    guard.describe(Quiz, "quiz", ["account", "workspace", "status", "creator"])
    guard.describe(Dashboard, "dashboard", ["account", "workspace", "owner"])
    guard.init_app(app)

    def find_quiz(quiz_id: int) -> Quiz | None:
        with Session(engine) as rows:
            return rows.get(Quiz, quiz_id)

    def find_dashboard(dashboard_id: int) -> Dashboard | None:
        with Session(engine) as rows:
            return rows.get(Dashboard, dashboard_id)

    def new_quiz() -> Quiz:
        sent = request.get_json()
        return Quiz(**{name: str(sent[name]) for name in ("title", "account", "workspace")}, creator=session.get("name"))

    @app.post("/login")
    @guard.public
    def login() -> Any:
        session["name"] = request.get_json()["name"]
        return "", 204

    @app.get("/dashboards")
    @guard.decides
    def dashboards() -> Any:
        query = select(Dashboard).where(guard.where("view", Dashboard)).order_by(Dashboard.id)
        with Session(engine) as rows:
            return jsonify([row.id for row in rows.scalars(query)])

    @app.get("/dashboards/<int:dashboard_id>")
    @guard.requires("view", find_dashboard)
    def dashboard(found: Dashboard) -> Any:
        return jsonify(id=found.id, owner=found.owner)

    @app.post("/quizzes")
    @guard.requires("create", new_quiz)
    def create(quiz: Quiz) -> Any:
        with Session(engine) as rows:
            rows.add(quiz)
            rows.commit()
            return jsonify(id=quiz.id), 201

    @app.patch("/quizzes/<int:quiz_id>")
    @guard.requires("edit", find_quiz)
    def edit(quiz: Quiz) -> Any:
        changed = {name: str(value) for name, value in request.get_json().items() if name in ("title", "workspace")}
        with Session(engine) as rows:
            row = rows.merge(quiz)
            for name, value in changed.items():
                setattr(row, name, value)
            guard.require("edit", row)  # it may also be moved to where it shall be
            rows.commit()
        return "", 204

    @app.get("/quizzes/<int:quiz_id>/menu")
    @guard.decides
    def menu(quiz_id: int) -> Any:
        quiz = find_quiz(quiz_id) or abort(404)
        return jsonify(guard.menu([quiz])[0])

    @app.get("/quizzes/<int:quiz_id>/people")
    @guard.requires("edit", find_quiz)
    def people(quiz: Quiz) -> Any:
        return jsonify(sorted(person.id for person in klausel.search_subjects("user", "edit", guard.resource(quiz))))

    @app.get("/forgotten")
    def forgotten() -> Any:
        return "nobody was asked about this"

    return app


def fill(engine: Any) -> None:
    """Puts rows in, where there are none."""
    with Session(engine) as rows:
        if rows.scalar(select(Quiz.id)) is not None:
            return
        for workspace in ("support", "sales"):
            for status in ("published", "draft"):
                rows.add(Quiz(title=status, account="acme", workspace=workspace, status=status, creator="sam"))
            for owner in ("leo", "ann"):
                rows.add(Dashboard(owner=owner, account="acme", workspace=workspace))
        rows.add(Dashboard(owner="greg", account="globex", workspace="support"))
        rows.commit()


def klausel_of_settings() -> Klausel:
    """The service at KLAUSEL_URL; without one the policies in this process, with the people of the demo."""
    if url := os.environ.get("KLAUSEL_URL"):
        return Klausel(url, key=os.environ.get("KLAUSEL_KEY"))
    from klausel.in_process import open_policies

    opened = open_policies(ROOT / "policies", database=os.environ.get("KLAUSEL_DATABASE", "sqlite:///klausel.db"))
    with (ROOT / "policies" / "demo" / "assignments.csv").open(encoding="utf-8") as file:
        opened.assign(list(csv.DictReader(file)))
    return opened


def make_app() -> Flask:
    """The application as `flask --app examples/flask/app:make_app run` starts it."""
    return create_app(klausel_of_settings(), "sqlite:///quizzes.db")
