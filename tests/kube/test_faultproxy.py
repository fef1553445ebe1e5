"""The fault-injecting proxy itself, before it is believed: each fault as a client sees it, in JSON and protobuf."""
import json, os, subprocess, tempfile, time, unittest

import cluster as c
import mesh as m

PROTOBUF = "application/vnd.kubernetes.protobuf"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
# Exit status of curl.
OVER_TIME = 28
RESET = (92, 18, 55, 56)  # HTTP/2 stream error, part of a file, cannot send, cannot receive


def fields(message):
    """{number: last value} of a protobuf message; raises ValueError if it is broken."""
    def varint(i):
        value = shift = 0
        while True:
            if i >= len(message):
                raise ValueError("cut varint")
            value |= (message[i] & 127) << shift
            shift += 7
            i += 1
            if message[i - 1] < 128:
                return value, i
    got, i = {}, 0
    while i < len(message):
        tag, i = varint(i)
        if tag & 7 == 0:
            got[tag >> 3], i = varint(i)
        elif tag & 7 == 2:
            n, i = varint(i)
            if i + n > len(message):
                raise ValueError("cut field")
            got[tag >> 3], i = message[i:i + n], i + n
        else:
            raise ValueError(f"wire type {tag & 7}")
    return got


def protobuf_events(body):
    """[(type, name, resourceVersion)]; ERROR events have their code as name."""
    events = []
    while body:
        n = int.from_bytes(body[:4], "big")
        if n + 4 > len(body):
            raise ValueError(f"a frame of {n} bytes in {len(body) - 4}")
        event = fields(body[4:n + 4])
        body = body[n + 4:]
        kind, raw = event[1].decode(), fields(event[2])[1]
        if raw[:4] != b"k8s\0":
            raise ValueError("no magic")
        unknown = fields(raw[4:])
        message = fields(unknown[2])
        if kind == "ERROR":
            events.append((kind, message[6], ""))
        else:
            meta = fields(message[1])
            assert fields(unknown[1])[2] == b"ConfigMap", unknown
            events.append((kind, meta.get(1, b"").decode(), meta.get(6, b"").decode()))
    return events


def json_events(body):
    events = []
    for line in body.splitlines():
        e = json.loads(line)
        o = e["object"]
        if e["type"] == "ERROR":
            events.append(("ERROR", o["code"], ""))
        else:
            assert o["kind"] == "ConfigMap" and o["apiVersion"] == "v1", o
            events.append((e["type"], o["metadata"].get("name", ""), o["metadata"]["resourceVersion"]))
    return events


class Proxied(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(c.Cluster())
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(dir=os.environ.get("PD_TMP")))
        cls.proxy = c.FaultProxy(cls.cluster, cls.folder)
        cls.addClassCleanup(cls.proxy.stop)
        with open(os.path.join(cls.cluster.state, "kubeconfig")) as f:
            token = f.read().partition("token: ")[2].partition("}")[0]
        cls.header = f"Authorization: Bearer {token}"
        cls.names = [f"m{i}" for i in range(3)]
        for name in cls.names:
            cls.cluster.kubectl("create", "configmap", name, "--from-literal=key=value")

    def setUp(self):
        self.addCleanup(self.proxy.clear)

    def ask(self, path, accept="application/json", seconds=20, extra=()):
        """(exit status of curl, HTTP status, body, seconds)."""
        out = os.path.join(self.folder, "body")
        args = ["curl", "-sS", "--http2", "--cacert", self.cluster.ca(), "-H", self.header, "-H", f"Accept: {accept}",
                "--max-time", str(seconds), "-o", out, "-w", "%{http_code}", *extra, f"https://{self.proxy.address}{path}"]
        if os.path.exists(out):
            os.unlink(out)
        start = time.monotonic()
        r = subprocess.run(args, capture_output=True, text=True)
        took = time.monotonic() - start
        body = b""
        if os.path.exists(out):
            with open(out, "rb") as f:
                body = f.read()
        return r.returncode, int(r.stdout[:3] or 0), body, took

    def watch(self, protobuf, seconds=1.5, selector="metadata.name!=kube-root-ca.crt"):
        """A watch from the beginning that sees the three objects. (exit status of curl, body)."""
        accept = PROTOBUF + ";stream=watch" if protobuf else "application/json"
        status, code, body, _ = self.ask(f"{CONFIGMAPS}?watch=true&fieldSelector={selector}", accept, seconds)
        self.assertEqual(code, 200)
        return status, body

    def both(self):
        """For each encoding: (protobuf or not, its decoder)."""
        for protobuf, decode in ((False, json_events), (True, protobuf_events)):
            with self.subTest(protobuf=protobuf):
                yield protobuf, decode
                self.proxy.clear()

    def names_of(self, events):
        return sorted(name for _, name, _ in events)

    def test_without_faults(self):
        before = self.proxy.counts()["faults"]
        status, code, body, _ = self.ask(CONFIGMAPS)
        self.assertEqual((status, code), (0, 200))
        self.assertLessEqual(set(self.names), {o["metadata"]["name"] for o in json.loads(body)["items"]})
        for protobuf, decode in self.both():
            status, body = self.watch(protobuf)
            self.assertEqual(status, OVER_TIME)  # the stream was open
            self.assertEqual(self.names_of(decode(body)), self.names)
        m.eventually(lambda: self.proxy.counts()["open_watches"] == 0)
        self.assertEqual(self.proxy.counts()["faults"], before)

    def test_credentials_pass(self):
        out = subprocess.run(["curl", "-s", "--cacert", self.cluster.ca(), "-o", os.devnull, "-w", "%{http_code} %{http_version}",
                              "-H", "Authorization: Bearer wrong", f"https://{self.proxy.address}{CONFIGMAPS}"],
                             capture_output=True, text=True)
        self.assertEqual(out.stdout, "401 2")
        # A body goes through, too.
        kubeconfig = self.cluster.write_kubeconfig(os.path.join(self.folder, "k"), server=self.proxy.address,
                                                   token=self.header.rpartition(" ")[2])
        c.run([os.path.join(c.BIN, "kube"), "kubectl", "--kubeconfig", kubeconfig, "create", "configmap", "through"])
        self.cluster.kubectl("delete", "configmap", "through")

    def test_before_the_answer(self):
        self.proxy.fault("delay", ms=700, path="configmaps", limit=1)
        self.assertGreater(self.ask(CONFIGMAPS)[3], 0.7)
        self.assertLess(self.ask(CONFIGMAPS)[3], 0.6)
        for code in (410, 429, 503):
            self.proxy.fault("status", code=code, retry_after=7, path="^GET /api/v1/.*configmaps", limit=2)
            status, got, body, _ = self.ask(CONFIGMAPS, extra=["-D", os.path.join(self.folder, "head")])
            self.assertEqual((status, got, json.loads(body)["code"]), (0, code, code))
            with open(os.path.join(self.folder, "head")) as f:
                self.assertIn("retry-after: 7", f.read().lower())
            _, got, body, _ = self.ask(CONFIGMAPS, PROTOBUF)
            self.assertEqual((got, fields(fields(body[4:])[2])[6], body[:4]), (code, code, b"k8s\0"))
            self.assertEqual(self.ask(CONFIGMAPS)[1], 200)
        self.proxy.fault("refuse", limit=1)
        self.assertIn(self.ask(CONFIGMAPS)[0], RESET)
        self.assertEqual(self.ask("/version")[1], 200)

    def test_paths(self):
        self.proxy.fault("status", code=500, path="/secrets")
        self.assertEqual(self.ask(CONFIGMAPS)[1], 200)
        self.assertEqual(self.ask("/api/v1/secrets")[1], 500)

    def test_cut_by_bytes(self):
        whole = self.ask(CONFIGMAPS)[2]
        for how in ("stream", "connection"):
            rule = self.proxy.fault("cut", after=100, how=how)
            status, _, body, _ = self.ask(CONFIGMAPS)
            self.assertIn(status, RESET)
            self.assertEqual(body, whole[:100])
            self.proxy.clear(rule)
        for protobuf, decode in self.both():
            self.proxy.fault("cut", after=70, how="end")
            status, body = self.watch(protobuf)
            self.assertEqual((status, len(body)), (0, 70))
            with self.assertRaises(ValueError):
                decode(body)

    def test_cut_by_time(self):
        for how, expected in (("stream", RESET), ("connection", RESET), ("end", (0,))):
            rule = self.proxy.fault("cut", ms=600, how=how, path="watch=")
            status, _, body, took = self.ask(CONFIGMAPS + "?watch=true")
            self.assertIn(status, expected)
            self.assertTrue(0.6 <= took < 3, took)
            self.assertLessEqual(set(self.names), set(self.names_of(json_events(body))))
            self.proxy.clear(rule)
        self.assertEqual(self.proxy.ask("/faults"), [])

    def test_cut_now(self):
        out = os.path.join(self.folder, "now")
        with open(out, "w") as f:
            curl = subprocess.Popen(["curl", "-sSN", "--cacert", self.cluster.ca(), "-H", self.header, "--max-time", "30",
                                     f"https://{self.proxy.address}{CONFIGMAPS}?watch=1"], stdout=f, stderr=subprocess.DEVNULL)
        m.eventually(lambda: os.path.getsize(out) > 0)
        self.assertEqual(self.proxy.cut("no-such-path"), 0)
        self.assertEqual(self.proxy.cut("configmaps.watch=1"), 1)
        self.assertIn(curl.wait(5), RESET)

    def test_noise_in_a_watch(self):
        for kind in ("garbage", "length"):
            for protobuf, decode in self.both():
                self.proxy.fault(kind, after=2, path="watch=")
                before = self.proxy.struck(kind)
                body = self.watch(protobuf)[1]
                self.assertEqual(self.proxy.struck(kind), before + 1)
                with self.assertRaises(ValueError):
                    decode(body)

    def test_duplicates(self):
        for protobuf, decode in self.both():
            self.proxy.fault("duplicate")
            self.assertEqual(self.names_of(decode(self.watch(protobuf)[1])), sorted(2 * self.names))

    def test_bookmarks_before_their_events(self):
        for protobuf, decode in self.both():
            self.proxy.fault("reorder")
            events = decode(self.watch(protobuf)[1])
            self.assertEqual([e[0] for e in events], ["BOOKMARK", "ADDED"] * 3)
            for bookmark, event in zip(events[::2], events[1::2]):
                self.assertEqual((bookmark[1], bookmark[2]), ("", event[2]))

    def test_expired(self):
        for protobuf, decode in self.both():
            self.proxy.fault("expire", after=1)
            events = decode(self.watch(protobuf)[1])
            self.assertEqual(events[1][:2], ("ERROR", 410))
            self.assertEqual(self.names_of(e for e in events if e[0] == "ADDED"), self.names)

    def test_slow_and_silent(self):
        self.proxy.fault("slow", ms=400, path="watch=")
        self.assertEqual(len(json_events(self.watch(False, 1)[1])), 2)
        self.proxy.clear()
        self.proxy.fault("stall", after=1, path="watch=")
        self.assertEqual(len(json_events(self.watch(False)[1])), 1)

    def test_mistakes_in_commands(self):
        for query in ("kind=none", "kind=delay", "kind=status&code=200", "kind=cut&how=gently", "kind=stall&after=x",
                      "kind=stall&path=(", "kind=stall&afterwards=1"):
            with self.subTest(query):
                with self.assertRaisesRegex(Exception, "400"):
                    self.proxy.ask("/fault?" + query, "POST")
        self.assertEqual(self.proxy.ask("/faults"), [])


if __name__ == "__main__":
    unittest.main()
