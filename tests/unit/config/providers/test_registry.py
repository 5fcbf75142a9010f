from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter

from config import providers
from config.providers import registry

MODEL = """
from typing import Literal
from config.model import Model

class Moon(Model):
    name: Literal["{name}"]
    crater: str
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of a provider called `moon`, in a second place where providers are looked for."""
    made = tmp_path / "moon"
    made.mkdir()
    (made / "__init__.py").touch()
    monkeypatch.setattr(providers, "__path__", [*providers.__path__, str(tmp_path)])
    registry.models.cache_clear()
    yield made
    for name in [name for name in sys.modules if name.startswith("config.providers.moon")]:
        del sys.modules[name]
    registry.models.cache_clear()


def test_a_new_folder_is_a_new_provider(folder: Path) -> None:
    (folder / "model.py").write_text(MODEL.format(name="moon"))

    adapter: TypeAdapter[object] = TypeAdapter(Annotated[Any, registry.AnySettings()])

    assert adapter.validate_python({"name": "moon", "crater": "Tycho"}) == registry.models()["moon"](
        name="moon", crater="Tycho"
    )


def test_a_folder_of_another_name(folder: Path) -> None:
    (folder / "model.py").write_text(MODEL.format(name="mars"))

    with pytest.raises(TypeError, match='must define one Model with `name: Literal\\["moon"\\]`, not 0'):
        registry.models()
