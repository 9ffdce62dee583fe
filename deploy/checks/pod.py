"""Makes the sidecar manifest playable by podman: `pod.py FILE` writes it.

podman knows no native sidecars, so the sidecar becomes the first of the containers; the Pod has a network of its
own, without published ports. It runs probes with programs
inside the image, which has none, and knows only the Pod's own name and id from the downward API, so probes go and
the other names become texts. The application of the manifest becomes a GopherShip whose demo source sends OTLP
every 100 ms. Everything else stays: users, rights, limits, volumes, configuration.
"""

import pathlib
import sys

import yaml

IMAGE = "localhost/gophership:check"
KNOWN = ("metadata.name", "metadata.uid")
APPLICATION = """
data_dir: /var/lib/gophership
sources: { demo: { type: demo } }
sinks: { sidecar: { type: otlp, inputs: [demo], endpoint: "http://127.0.0.1:4317" } }
metrics: { listen: off }
"""


def plain(variable):
    source = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
    if source is None or source in KNOWN:
        return variable
    return {"name": variable["name"], "value": source}


def main():
    documents = list(yaml.safe_load_all(pathlib.Path(sys.argv[1]).read_text()))
    settings, workload = documents
    pod = workload["spec"]["template"]["spec"]
    (sidecar,) = pod.pop("initContainers")
    (application,) = pod["containers"]
    assert sidecar.pop("restartPolicy") == "Always"
    sidecar["image"] = application["image"] = IMAGE
    for field in ("startupProbe", "livenessProbe", "ports"):
        del sidecar[field]
    sidecar["env"] = [plain(variable) for variable in sidecar["env"]]
    for variable in sidecar["env"]:
        if variable["name"] == "BACKEND":
            variable["value"] = "http://127.0.0.1:14317"
    settings["data"]["app.yaml"] = APPLICATION
    application["args"] = ["run", "--config", "/etc/gophership/app.yaml"]
    application["volumeMounts"] = [
        {"name": "gophership-config", "mountPath": "/etc/gophership", "readOnly": True},
        {"name": "scratch", "mountPath": "/var/lib/gophership"},
    ]
    pod["volumes"].append({"name": "scratch", "emptyDir": {}})
    pod["containers"] = [sidecar, application]
    yaml.safe_dump_all([settings, workload], sys.stdout)


if __name__ == "__main__":
    main()
