"""Quizzes and dashboards in FastAPI: a guarded endpoint, a filtered list, a menu, a people picker."""

import csv
import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel
from sqlalchemy import ColumnElement, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from klausel.client import AsyncKlausel, Klausel
from klausel.fastapi import Guard, RefuseUndecided

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


class NewQuiz(BaseModel):
    """What is sent for a new quiz."""

    title: str
    account: str
    workspace: str


def who_asks(x_user: Annotated[str | None, Header()] = None) -> str | None:
    """Stands for your own login."""
    return f"user:{x_user}" if x_user else None


Who = Annotated[str | None, Depends(who_asks)]


def create_app(klausel: Klausel | AsyncKlausel, database: str = "sqlite://") -> FastAPI:
    """The application, which asks `klausel`, with its rows in a database."""
    app = FastAPI()
    app.add_middleware(RefuseUndecided, public=["/docs", "/openapi.json"])
    own_memory = {"poolclass": StaticPool} if database == "sqlite://" else {}
    engine = create_engine(database, connect_args={"check_same_thread": False}, **own_memory)
    app.state.engine = engine
    Base.metadata.create_all(engine)
    fill(engine)

    guard = Guard(klausel, subject=who_asks)
    guard.describe(Quiz, "quiz", ["account", "workspace", "status", "creator"])
    guard.describe(Dashboard, "dashboard", ["account", "workspace", "owner"])

    def find_quiz(quiz_id: int) -> Quiz | None:
        with Session(engine) as rows:
            return rows.get(Quiz, quiz_id)

    def find_dashboard(dashboard_id: int) -> Dashboard | None:
        with Session(engine) as rows:
            return rows.get(Dashboard, dashboard_id)

    def new_quiz(sent: NewQuiz, who: Who) -> Quiz:
        return Quiz(**sent.model_dump(), creator=(who or "").removeprefix("user:"))

    def all_quizzes() -> list[Quiz]:
        with Session(engine) as rows:
            return list(rows.scalars(select(Quiz).order_by(Quiz.id)))

    @app.get("/dashboards")
    async def dashboards(condition: Annotated[ColumnElement[bool], Depends(guard.where("view", Dashboard))]) -> Any:
        with Session(engine) as rows:
            return [row.id for row in rows.scalars(select(Dashboard).where(condition).order_by(Dashboard.id))]

    @app.get("/dashboards/{dashboard_id}")
    def dashboard(found: Annotated[Any, Depends(guard.requires("view", find_dashboard))]) -> Any:
        return {"id": found.id, "owner": found.owner}

    @app.post("/quizzes", status_code=201)
    def create(quiz: Annotated[Any, Depends(guard.requires("create", new_quiz))]) -> Any:
        with Session(engine) as rows:
            rows.add(quiz)
            rows.commit()
            return {"id": quiz.id}

    @app.get("/menus")
    def menus(quizzes: Annotated[Any, Depends(all_quizzes)], menus: Annotated[Any, Depends(guard.menu(all_quizzes))]) -> Any:
        return {quiz.id: actions for quiz, actions in zip(quizzes, menus, strict=True)}

    @app.get("/quizzes/{quiz_id}/people")
    async def people(quiz: Annotated[Any, Depends(guard.requires("edit", find_quiz))]) -> Any:
        found = klausel.search_subjects("user", "edit", guard.resource(quiz))
        people = [one async for one in found] if isinstance(klausel, AsyncKlausel) else list(found)
        return sorted(person.id for person in people)

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


def make_app() -> FastAPI:
    """The application with the service at KLAUSEL_URL; without one with the policies in this process, and the demo's people."""
    if url := os.environ.get("KLAUSEL_URL"):
        return create_app(AsyncKlausel(url, key=os.environ.get("KLAUSEL_KEY")), "sqlite:///quizzes.db")
    from klausel.in_process import open_policies

    opened = open_policies(ROOT / "policies", database=os.environ.get("KLAUSEL_DATABASE", "sqlite:///klausel.db"))
    with (ROOT / "policies" / "demo" / "assignments.csv").open(encoding="utf-8") as file:
        opened.assign(list(csv.DictReader(file)))
    return create_app(opened, "sqlite:///quizzes.db")
