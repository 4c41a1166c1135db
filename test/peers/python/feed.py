"""The revocations that stand, out of the broker's feed (verifying.md, The feed)."""

import math
import time
import urllib.request

from strict import Refused
from tokens import Keys, header_of

MAX_EVENTS = 10_000
# A token counts for some seconds of skew after its end, and must stay stopped in them.
AFTER_END_SECONDS = 10


class Revocations:
    def __init__(self):
        self.standing = {}
        self.heard = False

    def read(self, url: str, keys: Keys, issuer: str):
        """Reads until all entries so far, and a heartbeat after them, have been heard."""
        self.standing, self.heard = {}, False
        request = urllib.request.Request(url, headers={"Accept": "text/event-stream"})
        with urllib.request.urlopen(request, timeout=5) as stream:
            kind, data, ready = "message", None, False
            for _ in range(MAX_EVENTS):
                line = stream.readline().decode("utf-8").rstrip("\n")
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    data = line[6:]
                elif line == "":
                    if kind in ("entry", "beat") and data is not None:
                        said = self._hear(data, keys, issuer)
                        if said == "beat" and ready:
                            self.heard = True
                            return
                    ready = ready or kind == "ready"
                    kind, data = "message", None

    def _hear(self, text: str, keys: Keys, issuer: str) -> str:
        header = header_of(text, "writ-feed+jwt")
        said = keys.verified(text, header, issuer=issuer, options={"verify_iat": False})
        if said["kind"] == "revoke":
            self.standing.setdefault(said["id"], said)
        elif said["kind"] == "undo":
            self.standing[said["id"]] = None  # also before the revocation itself is heard
        elif said["kind"] != "beat":
            raise Refused("a text of the feed that is not understood")
        return said["kind"]

    def check(self, claims: dict, names: dict):
        """Step 12. Raises Refused."""
        if not self.heard:
            raise Refused("no heartbeat")
        for said in self.standing.values():
            if said is None or said.get("until", math.inf) + AFTER_END_SECONDS < time.time():
                continue
            if _hits(said["target"], claims, names):
                raise Refused("revoked")


def _hits(target: dict, claims: dict, names: dict) -> bool:
    kind, value = target["kind"], target["value"]
    if not target.keys() <= {"kind", "value", "beneath", "principal"}:
        return True  # not understood: it may be meant for this token
    if kind == "agent":
        if target.get("principal", claims["sub"]) != claims["sub"]:
            return False
        beneath = f"{value}/" if target.get("beneath") else None
        return any(n == value or (beneath and n.startswith(beneath)) for n in names["agent"])
    if kind == "issuer":
        start = value + ("/" if value.startswith("spiffe://") else ":")
        return any(n.startswith(start) for n in [*names["agent"], claims["sub"]])
    if kind == "before":
        return claims["iat"] < float(value)
    return value in names[kind] if kind in names else True
