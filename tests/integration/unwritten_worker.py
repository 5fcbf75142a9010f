"""A scripted worker that cannot write the message after a first step; of the others nothing is asked of it."""

from __future__ import annotations

from typing import Any

from tests.integration import scripted
from workers.post import Letter, Post

app = scripted.app
scripted.install()
_following = Post.following


def _once(post: Post, celery: Any, request: Any) -> Letter | None:
    if request.headers["stepmark"]["index"] == 1:
        raise RuntimeError("it cannot be written")
    return _following(post, celery, request)


Post.following = _once
