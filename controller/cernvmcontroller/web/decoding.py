"""From query strings and bodies to values, with a sentence for every fault."""

from __future__ import annotations

from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from cernvmapi.errors import Malformed

_XSRF = "_xsrf"


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(get_origin(arg) is list for arg in get_args(annotation))


def _complain(error: msgspec.ValidationError, where: str) -> Malformed:
    message, _, path = str(error).partition(" - at ")
    path = path.strip("`").removeprefix("$").removeprefix(".")
    fault = f"{where}: {path}: {message}" if path else f"{where}: {message}"
    return Malformed(fault, errors=[{"where": where, "path": path, "message": message}])


def _refuse_nul(value: Any, where: str) -> None:
    """Refuse the character U+0000: neither databases nor environments of processes can hold it."""
    if isinstance(value, str):
        if "\0" in value:
            raise Malformed(f"{where}: a text contains the character U+0000, which cannot be stored.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_nul(key, where)
            _refuse_nul(item, where)
    elif isinstance(value, list):
        for item in value:
            _refuse_nul(item, where)


def query(arguments: dict[str, list[bytes]], into: Any) -> Any:
    """Return the query parameters as `into`.

    A parameter that is a list is given several times or once with commas.
    """
    hints = get_type_hints(into, include_extras=False)
    raw: dict[str, Any] = {}
    for name, values in arguments.items():
        if name == _XSRF:
            continue  # the browser's proof, checked before
        try:
            texts = [value.decode() for value in values]
        except UnicodeDecodeError:
            raise Malformed("Parameters: they are not UTF-8.") from None
        if name in hints and _is_list(hints[name]):
            raw[name] = [part for text in texts for part in text.split(",") if part]
        elif len(texts) == 1:
            raw[name] = texts[0]
        else:
            raise Malformed(f"Parameters: {name} is given {len(texts)} times.")
    _refuse_nul(raw, "Parameters")
    try:
        return msgspec.convert(raw, into, strict=False)
    except msgspec.ValidationError as error:
        raise _complain(error, "Parameters") from None


def body(content: bytes, media_type: str, into: Any, *, required: bool) -> Any:
    """Return a request's JSON body as `into`; an empty one is the default of all its fields."""
    if not content:
        if required:
            raise Malformed("The request needs a body of JSON.")
        return into()
    if media_type.partition(";")[0].strip().lower() != "application/json":
        raise Malformed("Send the body as JSON, with the header Content-Type: application/json.")
    try:
        decoded = msgspec.json.decode(content, type=into)
    except msgspec.ValidationError as error:
        raise _complain(error, "Body") from None
    except msgspec.DecodeError as error:
        raise Malformed(f"Body: it is not JSON ({error}).") from None
    except UnicodeDecodeError:
        raise Malformed("Body: it is not UTF-8.") from None
    except RecursionError:
        raise Malformed("Body: it is nested too deeply.") from None
    _refuse_nul(msgspec.to_builtins(decoded), "Body")
    return decoded
