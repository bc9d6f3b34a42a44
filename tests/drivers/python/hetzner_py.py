"""A driver in Python: the same cloud as that of ../hetzner, and no more than the contract asks for.

Whatever is made bears the machine's id in a label, by which it is found again. So all that is saved is that something may
have been made.
"""

import json
from dataclasses import replace

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import clock, http, keys, state
from wit_world.imports.http import FailureKind, Method
from wit_world.imports.types import (
    Description,
    Error,
    ErrorKind,
    FoundMachine,
    MachineStatus,
    OptionKind,
    OptionScope,
    OptionSpec,
    State,
)

ENDPOINT = "hetzner-py-endpoint"
TOKEN = "hetzner-py-token"
SERVER_TYPE = "hetzner-py-server-type"
IMAGE = "hetzner-py-image"

NO_TOKEN = "Please specify an API token (--hetzner-py-token)"

ID_LABEL = "docker-machine-id"
NAME_LABEL = "docker-machine-name"

# What is saved before anything is made.
BEGUN = json.dumps({"Begun": True})

# All in milliseconds.
EXCHANGE = 30_000
PATIENCE = 60_000
LOST = 15_000
SHUTDOWN = 90_000
SETTLING = 15 * 60_000

KINDS = {
    "unauthorized": ErrorKind.AUTHENTICATION,
    "forbidden": ErrorKind.PERMISSION,
    "not_found": ErrorKind.NOT_FOUND,
    "invalid_input": ErrorKind.INVALID_OPTION,
    "resource_limit_exceeded": ErrorKind.QUOTA,
    "resource_unavailable": ErrorKind.CAPACITY,
    "rate_limit_exceeded": ErrorKind.RATE_LIMITED,
    "locked": ErrorKind.CONFLICT,
    "uniqueness_error": ErrorKind.CONFLICT,
}

FAILURES = {
    FailureKind.REFUSED: ErrorKind.INTERNAL,
    FailureKind.UNREACHABLE: ErrorKind.UNREACHABLE,
    FailureKind.TLS: ErrorKind.UNREACHABLE,
    FailureKind.TIMED_OUT: ErrorKind.TIMED_OUT,
    FailureKind.BAD_RESPONSE: ErrorKind.PROTOCOL,
}

STATES = {
    "running": State.RUNNING,
    "initializing": State.STARTING,
    "starting": State.STARTING,
    "stopping": State.STOPPING,
    "deleting": State.STOPPING,
    "off": State.STOPPED,
}


def failed(kind, message):
    """What an operation raises for the user."""
    return Err(Error(kind, message, None))


class Lost(Exception):
    """The request may have been carried out, and nobody knows."""

    def __init__(self, error):
        self.error = error


class Patience:
    """Waits from time to time, longer each time, until a limit."""

    def __init__(self, limit):
        self.end = clock.now() + limit
        self.pause = 100

    def wait(self, at_least=0):
        """Waits; tells whether there is time for another try."""
        try:
            clock.sleep(max(self.pause, at_least))
        except Err:
            raise failed(ErrorKind.CANCELLED, "Interrupted") from None
        self.pause = min(self.pause * 8 // 5, 5_000)
        return clock.now() < self.end


def send(method, path, query=(), body=None):
    """Sends a request, again where that is safe, and tells the answer."""
    request = http.Request(
        endpoint=ENDPOINT,
        method=method,
        path=path,
        query=list(query),
        body=None if body is None else http.Body_Json(json.dumps(body)),
        auth=http.Auth_Bearer(TOKEN),
        timeout_ms=EXCHANGE,
    )
    is_reading = method == Method.GET
    patience = Patience(PATIENCE)
    while True:
        pause = 0
        try:
            response = http.send(request)
        except Err as failure:
            failure = failure.value
            error = failed(FAILURES[failure.kind], failure.message)
            is_passing = failure.kind in (FailureKind.UNREACHABLE, FailureKind.TIMED_OUT)
            may_repeat = is_passing and (is_reading or not failure.request_sent)
            if failure.request_sent and not may_repeat:
                raise Lost(error) from None
        else:
            if response.status < 300:
                return answer(response)
            error = refusal(response)
            is_busy = response.status in (423, 429)
            is_broken = response.status >= 500
            may_repeat = is_busy or is_broken and is_reading
            pause = min((response.retry_after or 0) * 1_000, PATIENCE)
            if is_broken and not may_repeat:
                raise Lost(error)
        if not may_repeat or not patience.wait(pause):
            raise error


def answer(response):
    if not response.body:
        return None
    try:
        return json.loads(response.body)
    except ValueError:
        raise Lost(unlike_the_api(response)) from None


def refusal(response):
    try:
        error = json.loads(response.body)["error"]
        code, message = error["code"], error["message"].rstrip(".")
    except (ValueError, KeyError, TypeError, AttributeError):
        return unlike_the_api(response)
    return failed(KINDS.get(code, ErrorKind.INTERNAL), f"The cloud refuses: {message} ({code})")


def unlike_the_api(response):
    text = f"The endpoint does not answer like the Hetzner Cloud API (HTTP status {response.status})"
    return failed(ErrorKind.PROTOCOL, text)


def read(path, member, query=()):
    """A member of what the cloud tells there."""
    try:
        return send(Method.GET, path, query)[member]
    except Lost as lost:
        raise lost.error from None
    except (KeyError, TypeError):
        raise failed(ErrorKind.PROTOCOL, f"The endpoint does not tell its {member}") from None


def change(method, path, body=None):
    """A change; if its answer is lost, that is told as an error."""
    try:
        return send(method, path, body=body)
    except Lost as lost:
        raise lost.error from None


def listed(kind, selector):
    """What has these labels, from all pages."""
    found, page = [], 1
    while True:
        query = [("label_selector", selector), ("per_page", "50"), ("page", str(page))]
        entries = read(f"/{kind}", kind, query)
        found += entries
        if len(entries) < 50:
            return found
        page += 1


def marked(kind, machine_id):
    return listed(kind, f"{ID_LABEL}=={machine_id}")


def has_begun(machine):
    return json.loads(machine.saved).get("Begun") is True


def find(machine):
    """The machine's server, or None."""
    servers = marked("servers", machine.id) if has_begun(machine) else []
    return servers[0] if servers else None


def existing(machine):
    server = find(machine)
    if server is None:
        text = f"The cloud has no server of the machine {machine.name}"
        raise failed(ErrorKind.NOT_FOUND, text)
    return server


def arrive(machine, status, limit=SETTLING):
    """Waits until the machine's server is in that state."""
    patience = Patience(limit)
    while True:
        server = existing(machine)
        if server["status"] == status:
            return server
        if not patience.wait():
            text = f"The server {server['name']} is still {server['status']}"
            raise failed(ErrorKind.TIMED_OUT, text)


def act(server, action):
    change(Method.POST, f"/servers/{server['id']}/actions/{action}")


def make(machine, kind, member, body):
    """Makes something that is found by its label if the answer is lost."""
    try:
        return send(Method.POST, f"/{kind}", body=body)[member]
    except Lost as lost:
        patience = Patience(LOST)
        while not (found := marked(kind, machine.id)):
            if not patience.wait():
                raise lost.error from None
        return found[0]
    except (KeyError, TypeError):
        raise failed(ErrorKind.PROTOCOL, f"The endpoint does not tell the {member}") from None


def delete(path):
    """Deletes something, unless it is gone."""
    for is_last in (False, True):
        try:
            send(Method.DELETE, path)
        except Lost as lost:
            if is_last:
                raise lost.error from None
            continue
        except Err as error:
            if error.value.kind != ErrorKind.NOT_FOUND:
                raise
        return


def status_of(server):
    ipv4 = server["public_net"]["ipv4"] if server else None
    ip = ipv4["ip"] if ipv4 else None
    return MachineStatus(
        state=STATES.get(server["status"], State.ERROR) if server else State.NOT_FOUND,
        ip=ip,
        ssh_user="root",
        ssh_host=ip or "",
        ssh_port=22,
        engine_port=2376,
    )


def options_of(machine):
    return {name: value.value for name, value in machine.options}


def option(name, env, help, key, default=None, kind=OptionKind.TEXT, scope=OptionScope.MACHINE, required=None):
    return OptionSpec(name, env, help, kind, scope, required, default, key)


class Lifecycle(exports.Lifecycle):
    def describe(self):
        account = OptionScope.ACCOUNT
        return Description(
            name="hetzner-py",
            version="0.1.0",
            options=[
                option(TOKEN, "HETZNER_PY_TOKEN", "API token of the project", "Token",
                       kind=OptionKind.SECRET, scope=account, required=NO_TOKEN),
                option(ENDPOINT, "HETZNER_PY_ENDPOINT", "URL of the API", "Endpoint",
                       "https://api.hetzner.cloud/v1", OptionKind.ENDPOINT, account),
                option(SERVER_TYPE, "HETZNER_PY_SERVER_TYPE", "Type of the server, which sets its size",
                       "ServerType", "cx22"),
                option(IMAGE, "HETZNER_PY_IMAGE", "Image from which the server is made", "Image", "ubuntu-24.04"),
            ],
            commands=[
                "GET /server_types",
                "GET /images",
                "GET /ssh_keys",
                "POST /ssh_keys",
                "DELETE /ssh_keys/{id}",
                "GET /servers",
                "POST /servers",
                "DELETE /servers/{id}",
                "POST /servers/{id}/actions/{action}",
            ],
        )

    def check(self, machine):
        options = options_of(machine)
        if options.get(TOKEN) is not True:
            raise failed(ErrorKind.INVALID_OPTION, NO_TOKEN)
        if len(machine.name) > 63 or not machine.name[-1].isalnum():
            text = f"The name {machine.name} is longer than 63 characters, or ends with neither letter nor digit"
            raise failed(ErrorKind.INVALID_OPTION, text)
        for name, kind in ((SERVER_TYPE, "server_types"), (IMAGE, "images")):
            if not read(f"/{kind}", kind, [("name", options[name])]):
                raise failed(ErrorKind.INVALID_OPTION, f"--{name}: the cloud has no {options[name]}")

    def create(self, machine):
        if has_begun(machine):
            raise failed(ErrorKind.CONFLICT, "The machine has been made already")
        self.check(machine)
        public_key = keys.ssh_public_key(keys.KeyType.ED25519)
        options = options_of(machine)
        labels = {ID_LABEL: machine.id, NAME_LABEL: machine.name}
        state.save(BEGUN)
        key = make(machine, "ssh_keys", "ssh_key", {
            "name": f"docker-machine-{machine.id}",
            "public_key": public_key,
            "labels": labels,
        })
        make(machine, "servers", "server", {
            "name": machine.name,
            "server_type": options[SERVER_TYPE],
            "image": options[IMAGE],
            "ssh_keys": [key["id"]],
            "labels": labels,
        })
        return status_of(arrive(replace(machine, saved=BEGUN), "running"))

    def start(self, machine):
        if existing(machine)["status"] in ("off", "stopping"):
            act(arrive(machine, "off"), "poweron")
        arrive(machine, "running")

    def stop(self, machine):
        server = existing(machine)
        if server["status"] == "off":
            return
        act(server, "shutdown")
        try:
            arrive(machine, "off", SHUTDOWN)
        except Err as error:
            if error.value.kind != ErrorKind.TIMED_OUT:
                raise
            self.kill(machine)

    def kill(self, machine):
        server = existing(machine)
        if server["status"] != "off":
            act(server, "poweroff")
            arrive(machine, "off")

    def restart(self, machine):
        self.stop(machine)
        self.start(machine)

    def remove(self, machine):
        if not has_begun(machine):
            return
        errors = []
        for kind in ("servers", "ssh_keys"):
            try:
                for entry in marked(kind, machine.id):
                    delete(f"/{kind}/{entry['id']}")
            except Err as error:
                errors.append(error)
        if errors:
            raise errors[0]
        patience = Patience(SETTLING)
        while find(machine) is not None:
            if not patience.wait():
                raise failed(ErrorKind.TIMED_OUT, f"The server of {machine.name} is still there")
        state.save("{}")

    def status(self, machines):
        def one(machine):
            try:
                return Ok(status_of(find(machine)))
            except Err as error:
                return error

        return [one(machine) for machine in machines]

    def survey(self, options):
        found = {}
        for kind, what in (("servers", "server"), ("ssh_keys", "SSH key")):
            for entry in listed(kind, ID_LABEL):
                labels = entry["labels"]
                new = FoundMachine(labels.get(NAME_LABEL, ""), labels[ID_LABEL], [], BEGUN)
                machine = found.setdefault(new.id, new)
                machine.parts.append(f"{what} {entry['name']} ({entry['id']})")
        return list(found.values())
