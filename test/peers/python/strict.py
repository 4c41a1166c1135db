"""What must be read in one way only: JSON, base64url, and the hashes over them (mcp-action.md, section 3)."""

import base64
import hashlib
import hmac
import json
import math
import re
from decimal import Decimal

import rfc8785

MAX_DEPTH = 64
BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")
LARGEST = 2**53 - 1


class Refused(Exception):
    """An expected no; the message names the check, and holds nothing of what was received."""


def parse_json(data: bytes):
    """One value, of which there is no other reading. Raises Refused."""
    try:
        text = data.decode("utf-8")
        if text.startswith("\ufeff"):
            raise Refused("a byte order mark")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_no_constant,
        )
        _look_at(value, MAX_DEPTH)
        return value
    except (ValueError, RecursionError) as error:
        raise Refused("not strict JSON") from error


def _unique(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused("two members of one name")
    return members


def _no_constant(_name):
    raise Refused("no JSON number")


def _number(literal: str):
    if len(literal) > 1024:
        raise Refused("a number that is too long")
    double = float(literal)
    if not math.isfinite(double):
        raise Refused("a number that is not finite")
    if not double.is_integer():
        return double
    if abs(double) <= LARGEST:
        if Decimal(literal) != Decimal(double):
            raise Refused("a number that a double does not hold")
        return int(double)
    # repr() writes the shortest text that reads back, and so does RFC 8785.
    if abs(double) >= 1e21 and "e" in literal.lower() and Decimal(literal) == Decimal(repr(double)):
        return double
    raise Refused("an integer that is too large")


def _look_at(value, levels: int):
    if isinstance(value, str):
        value.encode("utf-8")  # a lone surrogate cannot be encoded
    elif isinstance(value, (dict, list)):
        if levels == 0:
            raise Refused("too deep")
        if isinstance(value, dict):
            for name in value:
                name.encode("utf-8")
        for item in value.values() if isinstance(value, dict) else value:
            _look_at(item, levels - 1)


def decode_base64url(text: str) -> bytes:
    """The one canonical spelling: no padding, unused bits zero. Raises Refused."""
    if not isinstance(text, str) or not BASE64URL.match(text) or len(text) % 4 == 1:
        raise Refused("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(data) != text:
        raise Refused("not the canonical base64url")
    return data


def encode_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def sha256(data: bytes) -> str:
    return encode_base64url(hashlib.sha256(data).digest())


def canonical(value) -> bytes:
    """RFC 8785."""
    return rfc8785.dumps(value)


def hash_json(value) -> str:
    return sha256(canonical(value))


def is_hash(text) -> bool:
    try:
        return len(decode_base64url(text)) == 32
    except Refused:
        return False


def equal(one, other) -> bool:
    """Of two hashes, in constant time; of two that are absent too."""
    if one is None or other is None:
        return one is other
    return hmac.compare_digest(one, other)
