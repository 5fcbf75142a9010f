"""`pause` and `unpause`."""

from __future__ import annotations

from rich.markup import escape

from workers import celery, verbs
from workers import pause as pauses
from workers.cli import connect, options, outlook, output


def pause(reason: options.Reason = "", as_json: options.Json = False) -> int:
    """Let no step start, anywhere, until `stepmark unpause`; the steps that run go on to their end.

    Example: stepmark pause --reason "the provider has an outage"
    """
    base = connect.base()
    before = pauses.read(base)
    found = pauses.begin(base, verbs.whoami(), reason)
    if as_json:
        output.emit({"paused": found.model_dump(mode="json")})
    else:
        output.out().print(escape(f"{outlook.words(found)}. `stepmark unpause` goes on."))
        if before and reason:
            output.err().print("It was paused already: that reason stays, yours was not kept.")
    return 0


def unpause(as_json: options.Json = False) -> int:
    """Let steps start again, and send what was turned away meanwhile.

    Example: stepmark unpause
    """
    base = connect.base()
    found = pauses.read(base)
    sent = pauses.end(base, celery.app)
    if as_json:
        was = found.model_dump(mode="json") if found else None
        output.emit({"paused": None, "was": was, "sent_again": list(sent)})
    elif found is None:
        output.out().print("Nothing was paused.")
    else:
        output.out().print(f"All goes on; sent again: {len(sent)}.")
    return 0
