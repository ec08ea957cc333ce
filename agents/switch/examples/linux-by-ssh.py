#!/usr/bin/env python3
"""A driver of schema 1 (controller/docs/drivers.md) for a switch that runs Linux: the ports of a VLAN-filtering bridge, by SSH.

    linux-by-ssh.py root@SWITCH BRIDGE FOLDER [OPTION-OF-SSH...]

The switch's host key must be known (`-oUserKnownHostsFile=FILE`). FOLDER is the switch's start-up configuration, a file of commands a port. The
switch has to run them at every boot, before anything brings a port up:  for port in FOLDER/*; do sh "$port"; done
Must never say `rejected` of what may have been done, tell a reading of before, or leave a question without an end.
"""

import json
import re
import secrets
import shlex
import subprocess
import sys
import threading
import time

READ_S, CHANGE_S, CONNECT_S = 5.0, 9.0, 3  # who asks gives up after 6 and 10; a connection is made within either
NO_PORT, NO_MTU = 44, 45  # how a script ends that has changed nothing


class No(Exception):
    """The schema's word for why it was not done, and a reason."""


class Shell:
    """A shell on the switch, asked one thing at a time. One that is late is ended, and the next question gets a new one."""

    def __init__(self, address, options):
        # of what is said twice ssh takes the first: no option that is given weakens these
        strict = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={CONNECT_S}", "ControlPath=none", "LogLevel=ERROR"]
        self.ssh, self.command = None, ["ssh", "-T", *(f"-o{one}" for one in strict), *options, "--", address, "exec /bin/sh"]

    def run(self, script, until, lost="unreachable"):
        """How the script ended, and what it said. `lost` is what it means if that is not heard; before it is sent nothing is lost."""
        if self.ssh is None or self.ssh.poll() is not None:
            self.ssh = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.exchange("true", until, "unreachable")
        return self.exchange(script, until, lost)

    def exchange(self, script, until, lost):
        mark, ssh, said = secrets.token_hex(16), self.ssh, []
        clock = threading.Timer(max(0.0, until - time.monotonic()), ssh.kill)
        clock.start()
        try:
            ssh.stdin.write(f"( set -e\n{script}\n) </dev/null; printf '\\n{mark} %s\\n' $?\n")
            ssh.stdin.flush()
            for line in ssh.stdout:
                if line.startswith(mark):
                    return int(line.split()[1]), "".join(said)
                said.append(line)
        except OSError:
            pass  # it has ended
        finally:
            clock.cancel()
        ssh.kill()
        raise No(lost, f"no answer from the switch in time, or ssh ended: {ssh.wait()}")


def members(native, tagged):
    """VLAN -> how the port is a member, in the kernel's words."""
    return {vlan: set() for vlan in tagged} | ({native: {"PVID", "Egress Untagged"}} if native else {})


def each(port, verb, vlans):
    """Commands for these VLANs; neighbours in one, but for the native one."""
    runs = []
    for vlan, how in sorted(vlans.items()):
        if runs and runs[-1][1] == vlan - 1 and not how and not runs[-1][2]:
            runs[-1][1] = vlan
        else:
            runs.append([vlan, vlan, " pvid untagged" if how and verb == "add" else ""])
    return [f"bridge vlan {verb} dev {port} vid {first}" + f"-{last}" * (last > first) + how for first, last, how in runs]


def start_up(port, vlans, mtu, up):
    """The port's start-up file: makes it so, whatever it was."""
    begin = [f"ip link set dev {port} down", f"bridge vlan del dev {port} vid 1-4094", f"ip link set dev {port} mtu {mtu}"]
    return "\n".join(begin + each(port, "add", vlans) + [f"ip link set dev {port} up"] * up) + "\n"


class Switch:
    def __init__(self, address, bridge, folder, *options):
        self.shell, self.bridge, self.folder = Shell(address, options), bridge, folder

    def look(self, port, until):
        """The port's VLANs as the kernel lists them, the switch's own clock, and the whole reading."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,14}", port):
            raise No("rejected", f"{port} is no name of an interface")
        net, cut = f"/sys/class/net/{self.bridge}", secrets.token_hex(16)
        ask = [f"ip -j -d -s link show dev {port}", f"bridge -j vlan show dev {port}", f"bridge -j fdb show brport {port}"]
        ask += [f"cat {net}/bridge/vlan_filtering", "cut -d. -f1 /proc/uptime", f"cat {self.folder}/{port} 2>/dev/null || true"]
        ended, said = self.shell.run(f"test -e {net}/brif/{port} || exit {NO_PORT}\n" + f"\nprintf {cut}\n".join(ask), until)
        if ended == NO_PORT:
            raise No("rejected", f"{self.bridge} has no port {port}")
        if ended:
            raise No("unreachable", f"a command that reads {port} ended with {ended}")
        link, vlans, heard, filters, clock, file = said.split(cut)
        if filters.strip() != "1":
            raise No("rejected", f"{self.bridge} does not filter VLANs")
        [link] = [one for one in json.loads(link) if one.get("ifname") == port]
        vlans = [vlan for one in json.loads(vlans) if one["ifname"] == port for vlan in one["vlans"]]
        vlans = {vlan: set(one.get("flags", [])) for one in vlans for vlan in range(one["vlan"], one.get("vlanEnd", one["vlan"]) + 1)}
        native = next((vlan for vlan, how in vlans.items() if "PVID" in how), None)
        tagged, up = sorted(vlan for vlan in vlans if vlan != native), "UP" in link["flags"]
        learnt = sorted({one["mac"] for one in json.loads(heard) if one.get("state") not in ("permanent", "static")})
        reading = {"port": port, "native": native, "tagged": tagged, "mtu": link["mtu"], "admin_up": up, "learnt": learnt}
        reading |= {"leaks": vlans != members(native, tagged), "link_up": "LOWER_UP" in link["flags"], "frames_in": link["stats64"]["rx"]["packets"]}
        return vlans, int(clock), reading | {"saved": file.rstrip("\n") + "\n" == start_up(port, vlans, link["mtu"], up)}

    def change(self, port, vlans, mtu, up):
        until = time.monotonic() + CHANGE_S
        before, clock, seen = self.look(port, until)
        mtu, file = mtu or seen["mtu"], f"{self.folder}/{port}"
        # what a network held back is too late for the switch as well: nobody waits for it, and something newer may stand there
        script = ["exec 2>&1", f"test $(cut -d. -f1 /proc/uptime) -lt {clock + int(CHANGE_S)}"]
        script += [f"ip link set dev {port} mtu {mtu} || exit {NO_MTU}"] * (mtu != seen["mtu"]) + [f"ip link set dev {port} down"] * (not up)
        script += each(port, "add", {vlan: how for vlan, how in vlans.items() if before.get(vlan) != how})
        script += each(port, "del", {vlan: how for vlan, how in before.items() if vlan not in vlans})
        script += [f"ip link set dev {port} type bridge_slave fdb_flush"] + [f"ip link set dev {port} up"] * up
        script += [f"mkdir -p {self.folder}; printf %s {shlex.quote(start_up(port, vlans, mtu, up))} >{file}.new; sync"]
        ended, said = self.shell.run("\n".join(script + [f"mv {file}.new {file}; sync"]), until, "unconfirmed")
        if ended:
            raise No("rejected" if ended == NO_MTU else "unconfirmed", f"{port}: exit {ended}: {said.strip()}")
        return {}

    def answer(self, asked):
        what, port = asked["do"], asked["port"]
        if what == "read":
            return self.look(port, time.monotonic() + READ_S)[-1]
        if what == "set":
            return self.change(port, members(asked["native"], asked["tagged"]), asked["mtu"], True)
        if what == "shut":
            return self.change(port, {}, None, False)
        raise No("rejected", f"schema 1 does not know `{what}`")


switch = Switch(*sys.argv[1:])
print('{"understudy-driver":1,"kind":"switch"}', flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        said = {"answer": switch.answer(asked)}
    except No as no:
        said = dict(zip(("error", "reason"), no.args))
    except (KeyError, TypeError, ValueError) as odd:  # what the switch says is not understood
        said = {"error": "unreachable" if asked["do"] == "read" else "unconfirmed", "reason": f"not understood: {odd!r}"}
    print(json.dumps({"id": asked["id"]} | said), flush=True)
