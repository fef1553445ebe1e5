"""Network namespaces on a bridge, with the redirection of a sidecar: what istio-init sets up in a pod.

Needs root. The suite runs in a network and mount namespace of its own (unshare), so nothing of this is seen outside.
"""
import contextlib, ctypes, os, subprocess

import mesh as m

BRIDGE = "10.77.0.1"
PROXY_GROUP = 1337  # what processes of this group send is not redirected
INBOUND, OUTBOUND = 15006, 15001
NOT_REDIRECTED = "15008,15020,15021,15090"

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def run(*args):
    done = subprocess.run(args, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise m.Failed(f"{' '.join(args)}: {done.stderr.strip()}")


def start_bridge():
    os.makedirs("/run/netns", exist_ok=True)
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "address", "add", f"{BRIDGE}/24", "dev", "br0")
    run("ip", "link", "set", "br0", "up")


def stop_bridge():
    """Ends all of it; what still runs in a namespace keeps that alone."""
    for name in os.listdir("/run/netns"):
        run("ip", "netns", "delete", name)
    run("ip", "link", "delete", "br0")


def add(name, address):
    """A namespace with one address beside the bridge's."""
    run("ip", "netns", "add", name)
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "link", "set", name, "master", "br0", "up")
    for command in (("link", "set", "lo", "up"), ("address", "add", f"{address}/24", "dev", "eth0"),
                    ("link", "set", "eth0", "up"), ("route", "add", "default", "via", BRIDGE)):
        run("ip", "-n", name, *command)


def redirect(name):
    """TCP in and out goes to the proxy, but for its own and for what stays on the loopback interface."""
    def rule(*args):
        run("ip", "netns", "exec", name, "iptables", "-t", "nat", "-A", *args)
    rule("PREROUTING", "-p", "tcp", "-m", "multiport", "--dports", NOT_REDIRECTED, "-j", "RETURN")
    rule("PREROUTING", "-p", "tcp", "-j", "REDIRECT", "--to-ports", str(INBOUND))
    rule("OUTPUT", "-s", "127.0.0.6/32", "-o", "lo", "-j", "RETURN")  # from the proxy to its application
    rule("OUTPUT", "-m", "owner", "--gid-owner", str(PROXY_GROUP), "-j", "RETURN")
    rule("OUTPUT", "-d", "127.0.0.1/32", "-j", "RETURN")
    rule("OUTPUT", "-p", "tcp", "-j", "REDIRECT", "--to-ports", str(OUTBOUND))


def command(name, *args, proxy=False):
    """The command line that runs args in a namespace; it ends with its parent."""
    group = ["--regid", str(PROXY_GROUP), "--clear-groups"] if proxy else []
    return ["ip", "netns", "exec", name, "setpriv", "--pdeathsig", "KILL", *group, *args]


@contextlib.contextmanager
def inside(name):
    """What this thread does in the block, sockets above all, is in the namespace."""
    def enter(fd):
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        enter(other)
        yield
    finally:
        enter(own)
        os.close(own)
        os.close(other)
