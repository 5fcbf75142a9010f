"""The names that operators choose, and the texts that may stand beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True)
class Matching:
    """Annotates text that must match `pattern` as a whole. words: what it must be; longest: in characters."""

    pattern: str
    words: str
    longest: int = 200

    def check(self, text: str) -> str:
        """`text` itself.

        Raises:
            PydanticCustomError: it does not match, or is too long.
        """
        if len(text) > self.longest:
            raise PydanticCustomError("text", "must be at most {longest} characters long", vars(self))
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise PydanticCustomError("text", "must be {words}", vars(self))
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """`check`, after whatever the type itself asks."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The same in JSON Schema, which searches where we match."""
        said = {"pattern": f"^({self.pattern})$", "maxLength": self.longest, "description": f"Must be {self.words}."}
        return {**handler(schema), **said}


# Names become paths, host names, labels at providers and parts of Redis keys.
Name = Annotated[
    str, Matching(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a-z, 0-9 and `-`, a letter or digit first and last", 40)
]
LabelKey = Annotated[
    str,
    Matching(r"[a-z0-9]([a-z0-9._/-]*[a-z0-9])?", "a-z, 0-9 and `.` `_` `/` `-`, a letter or digit first and last", 63),
]
Line = Annotated[str, Matching(r"[^\x00-\x1f\x7f]*", "one line without control characters")]
