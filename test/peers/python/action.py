"""Whether a token's `mcp_action` covers exactly this message (mcp-action.md, section 4)."""

import re

from strict import Refused, equal, hash_json, is_hash

IDENTIFIERS = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
    "tasks/result": "taskId",
}
WITH_ARGUMENTS = {"tools/call", "prompts/get"}
REQUIRED = {"type", "locations", "actions", "identifier", "hash_alg", "max_uses"}
HASHES = {"arguments_hash", "definition_hash", "input_hash"}
MEMBERS = REQUIRED | HASHES | {"approval"}
APPROVAL_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}\Z")
OF_DEFINITION = ("name", "description", "inputSchema", "outputSchema", "annotations")


def definition_hash(definition: dict) -> str:
    covered = {name: definition[name] for name in OF_DEFINITION if name in definition}
    if isinstance(covered.get("inputSchema"), dict):
        schema = covered["inputSchema"]
        covered["inputSchema"] = {name: schema[name] for name in schema if name != "$schema"}
    return hash_json(covered)


def covering(details, resource: str, message: dict, definition: str | None) -> dict:
    """The element that covers the message. Raises Refused."""
    method, params = message.get("method"), message.get("params")
    if method not in IDENTIFIERS or not isinstance(params, dict):
        raise Refused("a message that no action token is for")
    for element in details:
        if grants(element) and _agrees(element, resource, method, params, definition):
            return element
    raise Refused("action")


def grants(element) -> bool:
    """Whether every member is one that is understood here, and of its form."""
    if not isinstance(element, dict) or element.get("type") != "mcp_action":
        return False
    if not REQUIRED <= element.keys() <= MEMBERS:
        return False
    if not all(is_hash(element[name]) for name in HASHES & element.keys()):
        return False
    locations, actions, uses = element["locations"], element["actions"], element["max_uses"]
    if not _texts(locations) or len(locations) != 1 or not _texts(actions):
        return False
    if len(set(actions)) != len(actions) or not all(name in IDENTIFIERS for name in actions):
        return False
    task = all(IDENTIFIERS[name] == "taskId" for name in actions)
    if len(actions) > 1 and not task:
        return False
    identifier = element["identifier"]
    if not isinstance(identifier, str) or not 1 <= len(identifier) <= 2048:
        return False
    if type(uses) is not int or not 1 <= uses <= 1000 or element["hash_alg"] != "sha-256":
        return False
    if ("arguments_hash" in element) != (actions[0] in WITH_ARGUMENTS):
        return False
    if task and ("input_hash" in element or "definition_hash" in element):
        return False
    return "approval" not in element or _approves(element)


def _texts(value) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(t, str) and t for t in value)


def _approves(element: dict) -> bool:
    approval = element["approval"]
    if not isinstance(approval, dict) or approval.keys() != {"id", "hash"}:
        return False
    if not isinstance(approval["id"], str) or not APPROVAL_ID.match(approval["id"]):
        return False
    approved = {k: v for k, v in element.items() if k not in ("approval", "input_hash")}
    return is_hash(approval["hash"]) and equal(approval["hash"], hash_json(approved))


def _agrees(element, resource, method, params, definition) -> bool:
    if element["locations"] != [resource] or method not in element["actions"]:
        return False
    if element["identifier"] != params.get(IDENTIFIERS[method]):
        return False
    if IDENTIFIERS[method] == "taskId":
        return True
    if method in WITH_ARGUMENTS:
        arguments = params.get("arguments", {})
        if not isinstance(arguments, dict):
            return False
        if not equal(element["arguments_hash"], hash_json(arguments)):
            return False
    given = {n: params[n] for n in ("inputResponses", "requestState") if n in params}
    if not equal(element.get("input_hash"), hash_json(given) if given else None):
        return False
    if definition is None:
        return True
    if "definition_hash" not in element:
        return method != "tools/call"
    return equal(element["definition_hash"], definition)
