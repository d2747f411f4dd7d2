"""A shop on Flask: an event in the shop's own transaction, and one that must never fail a request.

export SHOP_DATABASE_URL=sqlite:///shop.db SHOP_SECRET_KEY=a-long-random-text
telemetry db upgrade --database-url "$SHOP_DATABASE_URL"
flask --app examples/flask_service.py run
gunicorn --chdir examples --preload --workers 4 'flask_service:create_app()'
"""

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask, Response, abort, request, session, stream_with_context
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from recorder import BestEffortRecorder, Recorder
from telemetry import BillingMetadata, EventParameters
from telemetry.web import RequestHeaders
from telemetry.web.wsgi import TelemetryContextMiddleware

USERS = {"ada": 7, "ben": 8}  # replace with your authentication
SOLD_OUT = {"bicycle"}
SUGGESTIONS = ("book", "bookmark", "bicycle")


class Base(DeclarativeBase):
    """The shop's tables."""


class Order(Base):
    """An order."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    item: Mapped[str]


def identify(_environ: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the user of an event; called when an event is recorded, while Flask's session is open."""
    return {"user_id": session.get("user_id")}


def create_app() -> Flask:
    """Create the application. With gunicorn's `--preload` this runs before the fork; connections are not shared."""
    app = Flask(__name__)
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.config.from_prefixed_env("SHOP")
    if not (app.config.get("DATABASE_URL") and app.config["SECRET_KEY"]):
        raise SystemExit("set SHOP_DATABASE_URL and SHOP_SECRET_KEY")
    engine = create_engine(app.config["DATABASE_URL"])
    Base.metadata.create_all(engine)
    recorder = Recorder.from_engine(engine, service_version="1.4.0")
    best_effort = BestEffortRecorder(recorder)
    app.wsgi_app = TelemetryContextMiddleware(  # type: ignore[method-assign]  # as Flask documents
        app.wsgi_app, headers=RequestHeaders(client="X-Client"), identify=identify
    )

    @app.post("/sign-in")
    def sign_in() -> dict[str, str]:
        name = request.form["name"]
        session["user_id"] = USERS.get(name) or abort(401)
        recorder.record("account.session", "created")
        return {"signedIn": name}

    @app.post("/orders")
    def order() -> tuple[dict[str, str], int]:
        """Record an order and its event: both are stored, or neither."""
        user_id = session.get("user_id") or abort(401)
        item = request.form["item"]
        with Session(engine) as database, database.begin():
            database.add(Order(user_id=user_id, item=item))
            recorder.record(
                "shop.order",
                "submit",
                EventParameters(
                    metadata={"items": 1},
                    private_metadata={"item": item},
                    billing_metadata=BillingMetadata("shop", "order"),
                ),
                connection=database,
            )
            if item in SOLD_OUT:
                abort(409)  # rolls back
        return {"ordered": item}, 201

    @app.get("/suggestions")
    def suggestions() -> list[str]:
        """Return suggestions, even if their telemetry fails."""
        found = [each for each in SUGGESTIONS if each.startswith(request.args["prefix"])]
        best_effort.record("shop.suggestion", "shown", EventParameters(metadata={"count": len(found)}))
        return found

    @app.get("/orders.csv")
    def download() -> Response:
        def lines() -> Iterator[str]:
            with Session(engine) as database:
                for item in database.scalars(select(Order.item).where(Order.user_id == session.get("user_id"))):
                    yield f"{item}\n"
            recorder.record("shop.download", "finished")

        return Response(stream_with_context(lines()), mimetype="text/csv")

    return app
