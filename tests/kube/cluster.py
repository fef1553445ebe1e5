"""A Kubernetes API server of its own for each test file, and the proxy that makes it misbehave.

Finds the binaries that tests/kube/build.sh made; `run.sh FILE` sets the paths.
"""
import http.client, json, os, signal, ssl, subprocess, sys, tempfile, time, urllib.parse

import mesh as m

KUBE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(os.environ.get("KUBE_OUT") or os.path.expanduser("~/.cache/pilotd-kube"), "bin")
CRDS = os.path.join(m.ROOT, "charts", "base", "crds")


def run(args, stdin=None, env=None, seconds=120):
    """Standard output of a program. If it fails: m.Failed with what it said."""
    r = subprocess.run(args, input=stdin, env=env, capture_output=True, text=True, timeout=seconds)
    if r.returncode:
        raise m.Failed(f"{' '.join(args[:8])}: status {r.returncode}: {(r.stderr or r.stdout)[-2000:]}")
    return r.stdout


class Cluster:
    """Use in a `with` block: etcd, API server and controller manager on loopback, gone at its end."""

    def __init__(self, apiserver_flags=""):
        # The folder survives a test that was killed: its cluster is ended by the next run, before a new one starts.
        base = os.environ.get("PD_BUILD") or tempfile.gettempdir()
        self.state = os.path.join(base, "kube", os.path.basename(sys.argv[0]).removesuffix(".py"))
        os.makedirs(self.state, exist_ok=True)
        self.env = {**os.environ, "KUBE_STATE": self.state, "APISERVER_FLAGS": apiserver_flags}
        self.admin = os.path.join(self.state, "kubeconfig")

    def script(self, name, *args, stdin=None):
        return run([os.path.join(KUBE, name), *args], stdin, self.env)

    def __enter__(self):
        # A signal ends the tests by an exception, so that __exit__ runs.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.script("up.sh", "loopback")
        return self

    def __exit__(self, *_):
        self.script("down.sh", "--quiet")

    # ---- processes ----

    def kill(self, component, how=signal.SIGKILL):
        """Ends etcd, apiserver or controller-manager, and waits until it is gone."""
        with open(os.path.join(self.state, "run", "pids", component)) as f:
            pid = int(f.read().split()[0])
        os.kill(pid, how)
        m.eventually(lambda: not alive(pid), why=f"the end of {component}")

    def restart(self):
        """Starts what does not run; stored objects are kept. Returns when the API server is ready."""
        self.script("up.sh", "loopback", "--keep")

    def ports(self):
        """{"API_PORT": 20001, "ETCD_PORT": ...}"""
        with open(os.path.join(self.state, "run", "net")) as f:
            return {k: int(v) for k, v in (word.split("=") for word in f.read().split()) if k.endswith("_PORT")}

    def etcd(self, path, **fields):
        """A call of etcd's JSON interface."""
        url = f"http://127.0.0.1:{self.ports()['ETCD_PORT']}/v3/{path}"
        return json.loads(run(["curl", "-fsS", url, "-d", json.dumps(fields)]))

    def compact(self):
        """Forgets all versions but the present one: older resourceVersions are gone (410) for who asks etcd."""
        revision = self.etcd("kv/range", key="AA==")["header"]["revision"]
        self.etcd("kv/compaction", revision=revision, physical=True)
        return int(revision)

    # ---- objects ----

    def kubectl(self, *args, stdin=None):
        return self.script("kubectl", *args, stdin=stdin)

    def apply(self, text):
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, *args):
        """One object, or the items of a list."""
        got = json.loads(self.kubectl("get", "-o", "json", *args))
        return got["items"] if got["kind"].endswith("List") else got

    def delete(self, *args):
        return self.kubectl("delete", "--ignore-not-found", *args)

    def patch_status(self, what, name, namespace, status):
        self.kubectl("-n", namespace, "patch", what, name, "--subresource=status", "--type=merge", "-p",
                     json.dumps({"status": status}))

    def install_crds(self):
        """Our definitions, as charts/base has them; returns when they are served."""
        self.kubectl("apply", "--server-side", "-f", CRDS)
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", CRDS)

    # ---- identities ----

    def token(self, namespace, account, *args):
        return self.kubectl("-n", namespace, "create", "token", account, *args).strip()

    def api(self, token=None):
        """An Api as cluster-admin, or whoever this token is."""
        if not token:
            with open(self.admin) as f:
                token = f.read().partition("token: ")[2].partition("}")[0]
        return Api(self.ports()["API_PORT"], self.ca(), token)

    def ca(self):
        return os.path.join(self.state, "pki", "ca.crt")

    def write_kubeconfig(self, path, token=None, token_file=None, server=None):
        """For a token, or a file with one that the client reads again."""
        user = {"token": token} if token else {"tokenFile": token_file}
        server = server or f"127.0.0.1:{self.ports()['API_PORT']}"
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "test",
                  "clusters": [{"name": "test", "cluster": {"server": "https://" + server, "certificate-authority": self.ca()}}],
                  "users": [{"name": "test", "user": user}],
                  "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]}
        with open(path, "w") as f:
            json.dump(config, f)
        return path


class Api:
    """The API server by HTTP, for what kubectl is too slow for. One thread at a time."""

    def __init__(self, port, ca, token):
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30,
                                                      context=ssl.create_default_context(cafile=ca))
        self.token = token

    def once(self, method, path, text, headers):
        try:
            self.connection.request(method, path, text, headers)
            r = self.connection.getresponse()
            return r.status, r.read()
        except BaseException:
            self.connection.close()  # it is opened again by the next request
            raise

    def ask(self, method, path, body=None, content="application/json"):
        headers = {"Authorization": "Bearer " + self.token, "Content-Type": content}
        text = None if body is None else json.dumps(body)
        try:
            status, said = self.once(method, path, text, headers)
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected, ssl.SSLEOFError):  # of an API server that was ended
            status, said = self.once(method, path, text, headers)
        for _ in range(30):
            if status != 429:
                break
            time.sleep(1)  # it has just started, and says so
            status, said = self.once(method, path, text, headers)
        if status >= 300:
            raise m.Failed(f"{method} {path}: {status} {said[:1000]!r}")
        return json.loads(said)

    def items(self, path):
        return self.ask("GET", path)["items"]

    def apply(self, path, o):
        """Creates or replaces an object; `path` is that of its collection."""
        meta = o["metadata"]
        where = f"{path}/{meta['name']}?fieldManager=test&force=true"
        return self.ask("PATCH", where, o, "application/apply-patch+yaml")

    def status(self, path, status):
        return self.ask("PATCH", path + "/status", {"status": status}, "application/merge-patch+json")

    def delete(self, path):
        return self.ask("DELETE", path)

    def close(self):
        self.connection.close()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


class FaultProxy(m.Child):
    """tests/kube/faultproxy in front of a cluster. `address` is what clients connect to."""

    def __init__(self, cluster, folder):
        log = os.path.join(folder, "faultproxy.log")
        pki = os.path.join(cluster.state, "pki")
        super().__init__("faultproxy", [os.path.join(BIN, "faultproxy"), "-upstream",
                                        f"https://127.0.0.1:{cluster.ports()['API_PORT']}", "-ca", cluster.ca(),
                                        "-cert", os.path.join(pki, "apiserver.crt"), "-key", os.path.join(pki, "apiserver.key")], log)
        self.wait_for(lambda: "control=" in self.tail())
        said = dict(word.split("=") for word in self.tail().splitlines()[0].split())
        self.address, self.port = said["proxy"], int(said["control"].rpartition(":")[2])

    def ask(self, path, method="GET"):
        return json.loads(m.fetch(self.port, path, method))

    def fault(self, kind, **parameters):
        """Adds a rule (faultproxy/rules.go); returns its id."""
        return self.ask("/fault?" + urllib.parse.urlencode({"kind": kind, **parameters}), "POST")["id"]

    def clear(self, rule=None):
        self.ask("/fault" + (f"?id={rule}" if rule else ""), "DELETE")

    def cut(self, path=""):
        """Cuts what is under way; returns how many responses that were."""
        return self.ask("/cut?" + urllib.parse.urlencode({"path": path}), "POST")["cut"]

    def counts(self):
        return self.ask("/counts")

    def struck(self, kind):
        return self.counts()["faults"].get(kind, 0)
