"""Mesh configuration from the cluster's ConfigMap, and the selection of namespaces, both changing live."""
import json, unittest

import mesh as m
import world as w

SELECTED = w.MESH + "discoverySelectors:\n- matchLabels: {mesh: member}\n- matchExpressions: [{key: team, operator: In, values: [x, \"y\"]}]\n"


class MeshOfTheCluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(w.World(proxied=False, mesh_in_cluster=True))
        cls.world.start()
        cls.pilotd = cls.world.pilotd

    def setUp(self):
        self.addCleanup(self.world.put_mesh, w.MESH)

    def mesh(self):
        return self.pilotd.get("/debug/mesh")

    def test_followed_live(self):
        self.assertFalse(self.mesh().get("enableAutoMtls"))
        self.world.put_mesh(w.MESH + "trustDomain: followed.example\n")
        m.eventually(lambda: self.mesh()["trustDomain"] == "followed.example", why="the new mesh configuration")

    def test_bad_one_is_refused_and_reported(self):
        self.world.put_mesh(w.MESH + "trustDomain: good.example\n")
        m.eventually(lambda: self.mesh()["trustDomain"] == "good.example", why="the good mesh configuration")
        self.world.put_mesh(w.MESH + "trustDomain: bad.example\nprotocolDetectionTimeout: [1]\n")
        m.eventually(lambda: "protocolDetectionTimeout" in json.dumps(self.pilotd.get("/debug/issuesz")), why="a report of the mistake")
        self.assertEqual(self.mesh()["trustDomain"], "good.example")
        self.assertEqual(self.world.who(), "a")
        self.world.put_mesh(w.MESH + "trustDomain: better.example\n")
        m.eventually(lambda: self.mesh()["trustDomain"] == "better.example", why="the mesh configuration that was mended")
        m.eventually(lambda: "protocolDetectionTimeout" not in json.dumps(self.pilotd.get("/debug/issuesz")),
                     why="the end of the complaint")

    def seen(self):
        """The namespaces of which services and configuration are seen, but for those of Kubernetes and of the world."""
        services = {name.split(".")[1] for name in w.versions(self.pilotd)["CDS"] if name.startswith("outbound|80||app.")}
        config = {o["metadata"]["namespace"] for o in self.pilotd.get("/debug/configz") if o["metadata"]["name"] == "app"}
        self.assertEqual(services, config)
        return services

    def label(self, ns, **labels):
        self.world.api.ask("PATCH", w.path_of("Namespace", None, ns), {"metadata": {"labels": labels}}, "application/merge-patch+json")

    def test_namespaces_are_selected_live(self):
        for ns, labels in (("one", {"mesh": "member"}), ("two", {"team": "y"}), ("three", {"team": "z"}), ("four", {})):
            self.world.put(w.thing("Namespace", ns, labels=labels), w.service("app", ns=ns),
                           w.virtual_service("app", f"app.{ns}.svc.cluster.local", f"app.{ns}.svc.cluster.local", ("mesh",), ns))

        def become(*expected):
            def same():
                got = self.seen()
                if got != set(expected):
                    raise m.Failed(f"seen: {sorted(got)}")
                return True
            m.eventually(same, why=f"exactly {expected} being seen")
        become("one", "two", "three", "four")
        self.world.put_mesh(SELECTED)
        become("one", "two")
        self.label("four", mesh="member")
        become("one", "two", "four")
        self.label("two", team="z")
        become("one", "four")
        fresh = self.world.fresh_pilotd()
        self.addCleanup(fresh.stop)
        m.eventually(lambda: w.difference(w.versions(self.pilotd), w.versions(fresh)) == "", why="the state of a fresh pilotd")
        self.world.put_mesh(w.MESH)
        become("one", "two", "three", "four")


if __name__ == "__main__":
    unittest.main()
