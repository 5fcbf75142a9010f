"""Secrets are never in a file of ours: a reference says where one is, and the worker reads it when it needs it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pydantic import GetJsonSchemaHandler, ValidationInfo, field_validator, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from config import errors
from config.model import Model

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f\x7f]+")
_LARGEST_BYTES = 1 << 16
_ASKED = "write where the secret is, `env:NAME` or `file:PATH`, never the secret itself"


class SecretRef(Model):
    """Where a secret is: `env:NAME` or `file:PATH`, in the fleet file and in JSON. Read on the worker, at use.

    A relative path in a fleet file is taken from that file's folder; `~` is the home of whoever runs the worker.
    """

    reference: str

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
            raise PydanticCustomError("secret_reference", _ASKED)
        return {"reference": value}

    @field_validator("reference")
    @classmethod
    def _well_formed(cls, value: str, info: ValidationInfo) -> str:
        if not _REFERENCE.fullmatch(value):
            raise PydanticCustomError("secret_reference", _ASKED)
        scheme, _, where = value.partition(":")
        folder = (info.context or {}).get("folder")
        if scheme == "env" or folder is None or where.startswith("~"):
            return value
        return f"file:{Path(folder, where)}"

    @model_serializer
    def _to_text(self) -> str:
        return self.reference

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """In a file it is text."""
        return {
            "type": "string",
            "description": "Where the secret is: `env:NAME` or `file:PATH`.",
            "pattern": f"^({_REFERENCE.pattern})$",
        }

    def resolve(self) -> str:
        """The secret. One line is given without its line break; several (a private key) end with exactly one.

        Raises:
            config.errors.SecretError: it is not there, not readable, empty or no text.
        """
        scheme, _, where = self.reference.partition(":")
        text = (os.environ.get(where, "") if scheme == "env" else self._read(Path(where))).strip("\r\n")
        if not text:
            missing = "the variable is not set, or empty" if scheme == "env" else "the file is empty"
            raise errors.SecretError(self.reference, missing)
        return f"{text}\n" if "\n" in text else text

    def check(self) -> str | None:
        """What is wrong with it on this machine, in one line; None if it can be read."""
        try:
            self.resolve()
        except errors.SecretError as error:
            return str(error)
        return None

    def _read(self, path: Path) -> str:
        try:
            with path.expanduser().open("rb") as file:
                content = file.read(_LARGEST_BYTES + 1)
            if len(content) > _LARGEST_BYTES:
                raise errors.SecretError(self.reference, f"the file is larger than {_LARGEST_BYTES} bytes")
            return content.decode()
        except UnicodeDecodeError:
            # Without `from`: the decoder's error carries what it read.
            raise errors.SecretError(self.reference, "the file is not UTF-8 text") from None
        except (OSError, RuntimeError) as error:  # RuntimeError: `~` of nobody
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise errors.SecretError(self.reference, reason) from error
