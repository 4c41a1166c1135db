"""
A verifier of Writ's tokens that shares no line with Writ: PyJWT, cryptography, rfc8785, and what
verifying.md and mcp-action.md say. One JSON object a line in, one a line out.
"""

import base64
import json
import sys
import urllib.request

from action import covering, definition_hash, grants
from feed import Revocations
from strict import Refused, canonical, hash_json, parse_json
from tokens import Keys, verify_binding, verify_token


class Verifier:
    def __init__(self):
        self.spent = {}
        self.revocations = Revocations()

    def configure(self, issuer: str, resource: str, definitions: dict):
        self.issuer, self.resource = issuer, resource
        self.definitions = {name: definition_hash(one) for name, one in definitions.items()}
        with urllib.request.urlopen(f"{issuer}/jwks", timeout=5) as answer:
            self.keys = Keys(parse_json(answer.read()))
        self.follow()
        return {}

    def follow(self):
        self.revocations.read(f"{self.issuer}/revocations", self.keys, self.issuer)
        return {}

    def check(self, authorization: list, dpop: list, method: str, body: str, certificate=None):
        message = parse_json(base64.b64decode(body))
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            raise Refused("one message")
        if len(authorization) != 1:
            raise Refused("one Authorization")
        scheme, _, token = authorization[0].partition(" ")
        claims = verify_token(token, self.keys, self.issuer, self.resource)
        request = {"scheme": scheme, "dpop": dpop, "method": method, "certificate": certificate}
        proof = verify_binding(claims, request, token, self.resource)
        uses = None
        if claims["scope"] == "mcp:action":
            name = message.get("params", {}).get("name")
            definition = self.definitions.get(name)
            if message.get("method") == "tools/call" and definition is None:
                raise Refused("definition")
            details = claims["authorization_details"]
            uses = covering(details, self.resource, message, definition)["max_uses"]
        elif message.get("method") in ("tools/call", "prompts/get", "resources/read"):
            raise Refused("scope")
        self.revocations.check(claims, claims.pop("names"))
        self.spend(claims["jti"], uses, proof)
        return {"claims": claims}

    def spend(self, jti: str, uses: int | None, proof: str | None):
        """Step 14; one process, one request at a time: nothing can come between."""
        if proof is not None and uses != 1:
            if self.spent.get(proof):
                raise Refused("proof replayed")
            self.spent[proof] = 1
        if uses is not None:
            if self.spent.get(jti, 0) >= uses:
                raise Refused("spent")
            self.spent[jti] = self.spent.get(jti, 0) + 1

    def hash(self, text: str):
        value = parse_json(base64.b64decode(text))
        return {"canonical": canonical(value).decode("utf-8"), "hash": hash_json(value)}

    def definition(self, text: str):
        return {"hash": definition_hash(parse_json(base64.b64decode(text)))}

    def grants(self, element):
        return {"grants": grants(element)}

    def covers(self, details, resource, message, definition):
        covering(details, resource, message, definition)
        return {}


def main():
    verifier = Verifier()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = getattr(verifier, asked.pop("ask"))(**asked)
            told = {"ok": True, **answer}
        except Refused as refused:
            told = {"ok": False, "why": str(refused)}
        print(json.dumps(told), flush=True)


main()
