# SPDX-License-Identifier: MIT
"""A virtual LAN: one network namespace per host, joined by a bridge.

The bridge has a namespace of its own, so nothing of the machine's network is
touched. Names carry the process id of the laboratory; those that a killed one left
behind are removed when the next one starts.
"""
import os
import subprocess

PREFIX = "dsmlab"


def ip(*batch):
    """Runs the lines of BATCH as one `ip -batch`."""
    subprocess.run(["ip", "-batch", "-"], input="\n".join(batch) + "\n", text=True, check=True)


def remove_leftovers():
    """Deletes namespaces of laboratories that are gone."""
    listing = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False)
    for line in listing.stdout.split("\n"):
        name = line.split(" ")[0]
        if not name.startswith(PREFIX + "-"):
            continue
        if not os.path.exists("/proc/" + name.split("-")[1]):
            subprocess.run(["ip", "netns", "del", name], check=False)


class Lan:
    """HOSTS namespaces, host i (from 1) at 10.88.0.i, interface eth0."""

    def __init__(self, hosts):
        remove_leftovers()
        self.hosts = hosts
        self.switch = f"{PREFIX}-{os.getpid()}-switch"
        self.names = [f"{PREFIX}-{os.getpid()}-{i}" for i in range(1, hosts + 1)]
        lines = [f"netns add {name}" for name in [self.switch] + self.names]
        ip(*lines)
        # The bridge learns nothing it must wait for: no spanning tree, no forward delay.
        subprocess.run(["ip", "-n", self.switch, "-batch", "-"], text=True, check=True, input=(
            "link set lo up\nlink add br0 type bridge stp_state 0 forward_delay 0\n"
            "link set br0 up\n"))
        for i, name in enumerate(self.names, 1):
            subprocess.run(["ip", "-batch", "-"], text=True, check=True, input=(
                f"link add eth0 netns {name} type veth peer name port{i} netns {self.switch}\n"))
            subprocess.run(["ip", "-n", self.switch, "-batch", "-"], text=True, check=True, input=(
                f"link set port{i} master br0 up\n"))
            subprocess.run(["ip", "-n", name, "-batch", "-"], text=True, check=True, input=(
                f"link set lo up\naddr add 10.88.0.{i}/24 brd 10.88.0.255 dev eth0\n"
                "link set eth0 up\n"))

    def enter(self, host):
        """The words to put before a command so that it runs at HOST."""
        return ["nsenter", f"--net=/run/netns/{self.names[host - 1]}"]

    def address(self, host):
        return f"10.88.0.{host}"

    def cable(self, host, plugged):
        """Plugs the host's cable in or out, at the switch."""
        subprocess.run(["ip", "-n", self.switch, "link", "set", f"port{host}",
                        "up" if plugged else "down"], check=True)

    def interface(self, host, up):
        """Takes eth0 at the host down or up, as its administrator would."""
        subprocess.run(["ip", "-n", self.names[host - 1], "link", "set", "eth0",
                        "up" if up else "down"], check=True)

    def close(self):
        for name in self.names + [self.switch]:
            subprocess.run(["ip", "netns", "del", name], check=False)
