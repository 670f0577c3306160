"""Strict documents and their canonical bytes (RFC 8785), the only form that is hashed or signed."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Self

import rfc8785
from pydantic import BaseModel, ConfigDict, ValidationError

from lingqu.kinds.errors import BadInput

MAX_DOCUMENT = 8 << 20


class Document(BaseModel):
    """An immutable JSON document: unknown fields, wrong types and lax conversions are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def canonical(self) -> bytes:
        """The document's RFC 8785 bytes."""
        return canonical(self.model_dump(mode="json"))

    def sha256(self) -> str:
        """`sha256:` and the hexadecimal SHA-256 of the canonical bytes."""
        return digest(self.canonical())

    @classmethod
    def parse(cls, data: bytes | str) -> Self:
        """Decode JSON bytes strictly; BadInput names the field that does not fit."""
        if len(data) > MAX_DOCUMENT:
            raise BadInput(
                f"A {cls.__name__} of {len(data)} bytes is longer than {MAX_DOCUMENT}.", "Send a smaller one."
            )
        try:
            json.loads(data, object_pairs_hook=_unique_fields)
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the document"
            raise BadInput(f"This is no {cls.__name__}: {place}: {first['msg']}.", "Correct that field.") from None
        except (ValueError, RecursionError):
            raise BadInput(f"This is no {cls.__name__}: not well-formed JSON.", "Send well-formed JSON.") from None


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands twice")
    return fields


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON-ready value; BadInput for what JSON cannot hold exactly."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise BadInput(
            f"A value has no canonical JSON form: {type(error).__name__}.",  # the error's own text shows the value
            "Use strings, safe integers and finite numbers.",
        ) from None


def digest(data: bytes) -> str:
    """`sha256:` and the hexadecimal SHA-256 of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
