"""The signed texts: access tokens, the proofs beside them, and the revocation feed (verifying.md)."""

import time

import jwt
from jwt.algorithms import OKPAlgorithm

from strict import (
    Refused,
    decode_base64url,
    encode_base64url,
    equal,
    hash_json,
    is_hash,
    parse_json,
    sha256,
)

TOKEN_ALGORITHMS = ("ES256", "RS256", "Ed25519")
PROOF_ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "Ed25519", "EdDSA")
# PyJWT knows it under its older name only; RFC 9864 gives it this one.
jwt.register_algorithm("Ed25519", OKPAlgorithm())
SKEW_SECONDS = 5
MAX_LIFETIME_SECONDS = 300
PROOF_AGE_SECONDS, PROOF_AHEAD_SECONDS = 60, 10
REQUIRED = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


def header_of(text: str, typ: str) -> dict:
    """Reads without verifying. Raises Refused."""
    segments = text.split(".")
    if len(segments) != 3:
        raise Refused("three segments")
    header, _payload, _signature = [decode_base64url(segment) for segment in segments]
    header = parse_json(header)
    if not isinstance(header, dict) or header.get("typ") != typ:
        raise Refused("typ")
    return header


def payload_of(text: str) -> dict:
    claims = parse_json(decode_base64url(text.split(".")[1]))
    if not isinstance(claims, dict):
        raise Refused("claims")
    return claims


def public_key(jwk: dict, algorithm: str):
    known = "EdDSA" if algorithm == "Ed25519" else algorithm
    return jwt.PyJWK(jwk, algorithm=known).key


class Keys:
    """The issuer's key set: each key has the one algorithm it was published for."""

    def __init__(self, jwks: dict):
        self.keys = {key["kid"]: (key["alg"], key) for key in jwks["keys"]}

    def verified(self, text: str, header: dict, **options) -> dict:
        """The claims, once the signature and PyJWT's checks are good. Raises Refused."""
        algorithm, key = self.keys.get(header.get("kid"), (None, None))
        if algorithm is None or header.get("alg") != algorithm:
            raise Refused("key")
        if algorithm not in TOKEN_ALGORITHMS:
            raise Refused("algorithm")
        try:
            jwt.decode(text, public_key(key, algorithm), algorithms=[algorithm], **options)
        except jwt.PyJWTError as error:
            raise Refused(f"token: {type(error).__name__}") from error
        return payload_of(text)


def verify_token(text: str, keys: Keys, issuer: str, resource: str) -> dict:
    """Step 7. Raises Refused."""
    header = header_of(text, "at+jwt")
    if header.keys() != {"typ", "alg", "kid"}:
        raise Refused("header")
    claims = keys.verified(
        text,
        header,
        issuer=issuer,
        audience=resource,
        leeway=SKEW_SECONDS,
        options={
            "require": ["iss", "aud", "sub", "client_id", "jti", "sid", "iat", "exp", "scope"],
            "strict_aud": True,
        },
    )
    for name in ("sub", "client_id", "jti", "sid"):
        if not isinstance(claims[name], str) or not claims[name]:
            raise Refused(f"claim {name}")
    issued, expires = claims["iat"], claims["exp"]
    if type(issued) is not int or type(expires) is not int:
        raise Refused("times")
    if not 0 < expires - issued <= MAX_LIFETIME_SECONDS or issued > time.time() + SKEW_SECONDS:
        raise Refused("lifetime")
    if claims["scope"] not in ("mcp:action", "mcp:session"):
        raise Refused("scope")
    if ("authorization_details" in claims) != (claims["scope"] == "mcp:action"):
        raise Refused("details")
    binding = claims.get("cnf")
    if not isinstance(binding, dict) or len(binding) != 1:
        raise Refused("unbound")
    if not is_hash(binding.get("jkt", binding.get("x5t#S256"))):
        raise Refused("unbound")
    claims["names"] = _names(claims)
    return claims


def _names(claims: dict) -> dict:
    """Every name under which it may have been revoked."""
    actors, act = [claims["client_id"]], claims.get("act")
    while act is not None:
        if not isinstance(act, dict) or not isinstance(act.get("sub"), str) or len(actors) > 8:
            raise Refused("act")
        actors.append(act["sub"])
        act = act.get("act")
    via = claims.get("via", [])
    if not isinstance(via, list) or len(via) > 24 or not all(isinstance(v, str) for v in via):
        raise Refused("via")
    return {
        "jti": {claims["jti"], *via},
        "session": {claims["sid"], *via},
        "key": {_key(claims["cnf"]), *via},
        "agent": set(actors),
        "principal": {claims["sub"]},
        "task": {claims.get("txn")},
        "server": {claims["aud"]},
    }


def _key(binding: dict) -> str:
    return binding["jkt"] if "jkt" in binding else f"x5t#S256:{binding['x5t#S256']}"


def verify_binding(claims: dict, request: dict, token: str, resource: str) -> str | None:
    """Step 8; the name of the proof that is to be spent, if there is one. Raises Refused."""
    binding = claims["cnf"]
    if "x5t#S256" in binding:
        certificate = request.get("certificate")
        if request["scheme"] != "Bearer" or certificate is None:
            raise Refused("certificate")
        if not equal(binding["x5t#S256"], sha256(decode_base64url(certificate))):
            raise Refused("certificate")
        return None
    proofs = request["dpop"]
    if request["scheme"] != "DPoP" or len(proofs) != 1:
        raise Refused("one proof")
    return _verify_proof(proofs[0], binding["jkt"], request["method"], token, resource)


def _verify_proof(text: str, jkt: str, method: str, token: str, resource: str) -> str:
    header = header_of(text, "dpop+jwt")
    algorithm, key = header.get("alg"), header.get("jwk")
    if algorithm not in PROOF_ALGORITHMS or not isinstance(key, dict) or PRIVATE & key.keys():
        raise Refused("proof key")
    try:
        public = public_key(key, algorithm)
        jwt.decode(text, public, algorithms=[algorithm], options={"verify_iat": False})
    except jwt.PyJWTError as error:
        raise Refused(f"proof: {type(error).__name__}") from error
    thumbprint = hash_json({name: key[name] for name in REQUIRED[key["kty"]]})  # RFC 7638
    if not equal(thumbprint, jkt):
        raise Refused("proof of another key")
    claims, now = payload_of(text), time.time()
    if claims.get("htm") != method or claims.get("htu") != resource:
        raise Refused("proof of another request")
    issued, name = claims.get("iat"), claims.get("jti")
    if type(issued) not in (int, float) or not isinstance(name, str) or not 1 <= len(name) <= 256:
        raise Refused("proof claims")
    if not now - PROOF_AGE_SECONDS <= issued <= now + PROOF_AHEAD_SECONDS:
        raise Refused("proof age")
    ath = claims.get("ath")
    if not is_hash(ath) or not equal(ath, sha256(token.encode("ascii"))):
        raise Refused("ath")
    return f"{thumbprint} {encode_base64url(name.encode())}"
