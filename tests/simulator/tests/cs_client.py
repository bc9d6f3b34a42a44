"""Lives a machine's life against a CloudStack API with the independent client `cs` (https://pypi.org/project/cs/).

It takes CLOUDSTACK_ENDPOINT, CLOUDSTACK_KEY and CLOUDSTACK_SECRET from the environment, prints what it did, and fails
if anything is not as CloudStack has it. It leaves nothing behind.
"""

import base64
import os
import struct
import sys

from cs import CloudStack, CloudStackApiException


def said(text):
    print(text, flush=True)


def public_key():
    """A public key in OpenSSH's form; its numbers mean nothing."""
    parts = [b"ssh-rsa", b"\x01\x00\x01", b"\x00" + os.urandom(256)]
    blob = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return "ssh-rsa " + base64.b64encode(blob).decode() + " cs client+test@example"


def named(items, name):
    found = [item for item in items if item["name"] == name]
    assert len(found) == 1, f"{name}: {items}"
    return found[0]["id"]


def fails(code, call, **parameters):
    try:
        call(**parameters)
    except CloudStackApiException as error:
        assert error.error["errorcode"] == code, error.error
        return error.error["errortext"]
    raise AssertionError(f"expected error {code}")


def main():
    cloud = CloudStack(
        endpoint=os.environ["CLOUDSTACK_ENDPOINT"],
        key=os.environ["CLOUDSTACK_KEY"],
        secret=os.environ["CLOUDSTACK_SECRET"],
        method=os.environ.get("CLOUDSTACK_METHOD", "post"),
        poll_interval=0.05,
        job_timeout=60,
        fetch_result=True,
    )

    zone = named(cloud.listZones(fetch_list=True), "uk-london-1")
    template = named(cloud.listTemplates(templatefilter="executable", zoneid=zone, fetch_list=True), "Ubuntu 24.04 LTS")
    offering = named(cloud.listServiceOfferings(fetch_list=True), "Small")
    said(f"zone {zone}, template {template}, offering {offering}")

    pair = cloud.registerSSHKeyPair(name="cs-key", publickey=public_key())["keypair"]
    assert pair["fingerprint"].count(":") == 15, pair
    taken = fails(431, cloud.registerSSHKeyPair, name="cs-key", publickey=public_key())
    assert taken == "A key pair with name 'cs-key' already exists.", taken
    said(f"registered key pair {pair['fingerprint']}")

    machine = cloud.deployVirtualMachine(
        name="cs-1",
        displayname="made by cs: a b+c/d*e,f",
        zoneid=zone,
        templateid=template,
        serviceofferingid=offering,
        keypair="cs-key",
        userdata=base64.b64encode(b"#cloud-config\n").decode(),
    )["virtualmachine"]
    assert machine["state"] == "Running" and machine["keypairs"] == "cs-key", machine
    assert machine["displayname"] == "made by cs: a b+c/d*e,f", machine
    said(f"deployed {machine['id']} at {machine['nic'][0]['ipaddress']}")

    listed = cloud.listVirtualMachines(id=machine["id"])["virtualmachine"]
    assert [item["name"] for item in listed] == ["cs-1"], listed
    assert cloud.listVirtualMachines(name="no-such") == {}

    cloud.createTags(resourceids=machine["id"], resourcetype="UserVm", tags=[{"key": "made-by", "value": "cs"}])
    tagged = cloud.listVirtualMachines(tags=[{"key": "made-by", "value": "cs"}])["virtualmachine"]
    assert [item["id"] for item in tagged] == [machine["id"]], tagged
    said("tagged it")

    network = machine["nic"][0]["networkid"]
    address = cloud.listPublicIpAddresses(associatednetworkid=network)["publicipaddress"][0]
    rule = cloud.createPortForwardingRule(
        ipaddressid=address["id"],
        protocol="TCP",
        publicport=22,
        privateport=22,
        virtualmachineid=machine["id"],
        openfirewall=False,
    )["portforwardingrule"]
    assert rule["state"] == "Active" and rule["publicport"] == "22", rule
    clash = fails(
        537,
        cloud.createPortForwardingRule,
        ipaddressid=address["id"],
        protocol="tcp",
        publicport=22,
        privateport=2222,
        virtualmachineid=machine["id"],
    )
    assert clash.startswith("The range specified, 22-22, conflicts with rule"), clash
    opened = cloud.createFirewallRule(
        ipaddressid=address["id"], protocol="tcp", startport=22, endport=22, cidrlist="192.0.2.0/24,198.51.100.7/32"
    )["firewallrule"]
    assert opened["cidrlist"] == "192.0.2.0/24,198.51.100.7/32", opened
    said(f"forwarded {address['ipaddress']}:22")

    stopped = cloud.stopVirtualMachine(id=machine["id"])["virtualmachine"]
    assert stopped["state"] == "Stopped", stopped
    started = cloud.startVirtualMachine(id=machine["id"])["virtualmachine"]
    assert started["state"] == "Running", started
    rebooted = cloud.rebootVirtualMachine(id=machine["id"])["virtualmachine"]
    assert rebooted["state"] == "Running", rebooted
    said("stopped, started and rebooted it")

    assert cloud.deleteFirewallRule(id=opened["id"])["success"]
    assert cloud.deletePortForwardingRule(id=rule["id"])["success"]
    cloud.destroyVirtualMachine(id=machine["id"])
    assert cloud.listVirtualMachines() == {}
    assert cloud.listPortForwardingRules() == {}
    assert cloud.deleteSSHKeyPair(name="cs-key")["success"] == "true"
    assert cloud.listSSHKeyPairs() == {}
    said("removed everything")


if __name__ == "__main__":
    sys.exit(main())
