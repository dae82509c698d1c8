#!/usr/bin/env python3
"""Checks of what lies in packages/. RTM is the program, TOOLS the folder with the Python packages of .ci/packages.txt.

    .ci/packages.py sbom FILE           the CycloneDX document holds to its schema, and names what the program consists of
    .ci/packages.py compose             both compose files as docker compose reads them, with the configuration that their servers get
    .ci/packages.py helm                the chart with several values as Kubernetes takes it, and what it says of bad values
    .ci/packages.py metrics NATS        rules and dashboard against the metrics of servers that run; NATS is its program
"""

import base64
import binascii
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "packages"
TOOLS = pathlib.Path(os.environ.get("TOOLS", "target/packages")).resolve()
RTM = pathlib.Path(os.environ.get("RTM", "target/debug/rtm")).resolve()
APP_ID, CERTIFICATE = "0123456789abcdef0123456789abcdef", "5cfd2fd1755d40ecb72977518be15d3b"
sys.path.insert(0, str(TOOLS))


def check(is_true, complaint):
    if not is_true:
        sys.exit(complaint)


def config_check(environment, text=""):
    """What `rtm config check` says of a file with this text, and of this environment alone."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        run = subprocess.run([RTM, "config", "check", file.name], env=environment, capture_output=True, text=True)
        check(run.returncode == 0 and not run.stderr, f"{run.stderr}of {environment} and:\n{text}")
        run = subprocess.run([RTM, "config", "diff", file.name], env=environment, capture_output=True, text=True)
        return run.stdout


def sbom(file):
    import jsonschema
    import referencing

    folder = TOOLS / "cyclonedx/schema/_res"
    parts = [json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text()) for name in ("spdx", "jsf-0.82", "bom-1.6")]
    registry = referencing.Registry().with_resources((part["$id"], referencing.Resource.from_contents(part)) for part in parts)
    document = json.loads(pathlib.Path(file).read_text())
    for error in jsonschema.Draft7Validator(parts[-1], registry=registry).iter_errors(document):
        sys.exit(f"{error.json_path}: {error.message[:300]}")
    known = {one["bom-ref"]: one for one in [*document["components"], document["metadata"]["component"]]}
    for one in document["dependencies"]:
        check({one["ref"], *one["dependsOn"]} <= known.keys(), f"{one['ref']} depends on something that is not there")
    scopes = {one["name"]: one["scope"] for one in document["components"]}
    wanted = {"rustls": "required", "rtm-core": "required", "preact": "required", "@preact/signals": "required", "syn": "excluded"}
    check(wanted.items() <= scopes.items(), f"not as it should be: {[(name, scopes.get(name)) for name in wanted]}")
    for wrong in ("criterion", "proptest", "rtm-sim"):
        check(wrong not in scopes, f"{wrong} is not of the program")
    print(f"{len(known)} components")


def compose():
    variables = {**os.environ, "RTM_APP_ID": APP_ID, "RTM_CERTIFICATE": CERTIFICATE}
    image = (PACKAGES / "container/rtm.toml").read_text()
    for file, servers in (("compose.yaml", ["rtm"]), ("compose.cluster.yaml", ["rtm-1", "rtm-2", "rtm-3"])):
        command = [TOOLS / "bin/docker-compose", "--file", PACKAGES / "container" / file, "--profile", "*", "config", "--format", "json"]
        run = subprocess.run(command, env=variables, capture_output=True, text=True)
        check(run.returncode == 0 and not run.stderr, f"{file}: {run.stderr}")
        composed = json.loads(run.stdout)
        for volume in (one for service in composed["services"].values() for one in service.get("volumes", [])):
            check(volume["type"] == "volume" or pathlib.Path(volume["source"]).is_file(), f"{file}: no {volume['source']}")
        found = [name for name, service in composed["services"].items() if service["image"].startswith("rtm:")]
        check(found == servers, f"{file} has {found}")
        version = json.loads(run.stdout)["services"][servers[0]]["image"].removeprefix("rtm:")
        check(f'\nversion = "{version}"\n' in (ROOT / "Cargo.toml").read_text(), f"{file} is for version {version}")
        for name in servers:
            environment = composed["services"][name]["environment"]
            # The name of the container leads to it only there.
            here = {key: value.replace(f"{name}:8080", "127.0.0.1:8080") for key, value in environment.items()}
            said = config_check(here, image)
            check(CERTIFICATE not in said and APP_ID in said, f"{name} of {file}: {said}")
        for missing in ("RTM_APP_ID", "RTM_CERTIFICATE"):
            without = {key: value for key, value in variables.items() if key != missing}
            run = subprocess.run(command, env=without, capture_output=True, text=True)
            check(run.returncode != 0 and missing in run.stderr, f"{file} does without {missing}")
        print(f"{file}: {', '.join(composed['services'])}")


PROJECTS = [{"appId": APP_ID, "certificates": [CERTIFICATE]}]
NATS = {"nats": ["nats://nats-0:4222", "nats://nats-1:4222"]}

# Values beside those of packages/helm/*.yaml.
VALUES = {
    "the least": {"projects": [{"appId": APP_ID}]},
    "in memory, all of it off": {
        "projects": PROJECTS, "persistence": {"enabled": False}, "networkPolicy": {"enabled": False}, "resources": {}, "ipv6": True,
    },
    "TLS at a load balancer": {
        "config": f'max_connections = 5000\n[[project]]\napp_id = "{APP_ID}"\n[project.settings]\noffline_after = "20s"\n',
        "projects": [{"appId": CERTIFICATE, "certificates": [APP_ID, CERTIFICATE]}], "tls": {"secretName": "rtm-tls"},
        "service": {"type": "LoadBalancer", "port": 443, "externalTrafficPolicy": "Local", "annotations": {"a.example/b": "c"}},
        "drain": {"delaySeconds": 20, "timeSeconds": 90}, "persistence": {"storageClass": "fast", "size": "20Gi"},
        "nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{"key": "rtm", "operator": "Exists"}],
        "log": {"level": "info,rtm_server=debug", "format": "text"}, "fullnameOverride": "messages",
        "imagePullSecrets": [{"name": "pull"}], "priorityClassName": "high", "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"},
    },
    "a configuration of one's own": {
        "existingSecret": "own", "extraEnv": [
            {"name": "RTM_PROJECT__0__APP_ID", "value": APP_ID},
            {"name": "RTM_PROJECT__0__CERTIFICATES", "valueFrom": {"secretKeyRef": {"name": "more", "key": "certificate"}}},
        ],
    },
    "NATS with a credentials file": {
        "replicas": 5, "projects": PROJECTS, "podDisruptionBudget": {"maxUnavailable": 2},
        "cluster": {**NATS, "credentials": {"secretName": "nats", "file": "nats.creds"}, "caSecretName": "nats-ca"},
    },
    "NATS with a password": {
        "projects": PROJECTS, "affinity": {"nodeAffinity": {}}, "podDisruptionBudget": {"enabled": False},
        "cluster": {"nats": ["tls://nats:4222"], "name": "blue", "credentials": {"secretName": "nats", "user": "rtm", "password": "password"}},
    },
}

# Values that are wrong, and what has to be said of each.
REFUSED = [
    ({}, "there is no project"),
    ({"projects": [{"appId": "short"}]}, "/projects/0/appId"),
    ({"projects": [{"appId": APP_ID, "certificates": ["short"]}]}, "/projects/0/certificates/0"),
    ({"projects": [{"appId": APP_ID, "certificate": CERTIFICATE}]}, "certificate"),
    ({"projects": PROJECTS, "replicas": 3}, "replicas is 3, but cluster.nats is empty"),
    ({"projects": PROJECTS, "replicas": 0}, "/replicas"),
    ({"projects": PROJECTS, "existingSecret": "own"}, "existingSecret is the whole configuration"),
    ({"projects": PROJECTS, "cluster": {**NATS, "credentials": {"secretName": "nats"}}}, "needs file, or user and password"),
    ({"projects": PROJECTS, "cluster": {**NATS, "credentials": {"file": "nats.creds"}}}, "needs a secretName"),
    ({"projects": PROJECTS, "cluster": {"nats": ["nats-0:4222"]}}, "/cluster/nats/0"),
    ({"projects": PROJECTS, "ingress": {"enabled": True}}, "ingress.enabled needs ingress.host"),
    ({"projects": PROJECTS, "drain": {"timeSeconds": "60s"}}, "/drain/timeSeconds"),
    ({"projects": PROJECTS, "ressources": {}}, "ressources"),
]


def helm():
    import helm_python
    import kubernetes_validate
    import yaml

    with tempfile.TemporaryDirectory() as folder:
        # Helm would say of each link that it follows it.
        chart_as_kubernetes_takes_it(helm_python, kubernetes_validate, yaml, shutil.copytree(PACKAGES / "helm/rtm", f"{folder}/rtm"))


def chart_as_kubernetes_takes_it(helm_python, kubernetes_validate, yaml, folder):
    chart = helm_python.Chart.load(folder)
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    check((chart.version, chart.metadata["appVersion"]) == (version, version), f"the chart is not of version {version}")
    cases = {file.name: yaml.safe_load(file.read_text()) for file in sorted((PACKAGES / "helm").glob("*.yaml"))} | VALUES
    for name, values in cases.items():
        report = helm_python.lint(folder, values, strict=True)
        # Of information, one piece: that the chart has no icon.
        check(not [one for one in report["messages"] if one["severity"] > 1] and not report["errors"], f"{name}: {report}")
        rendered = chart.render(values, name="rtm", namespace="chat")
        check(all("<no value>" not in text and "%!" not in text for text in rendered.values()), f"{name}: a value is missing")
        found = [one for path, text in sorted(rendered.items()) if path.endswith(".yaml") for one in yaml.safe_load_all(text) if one]
        for one in found:
            if one["apiVersion"].startswith("monitoring.coreos.com/"):
                continue
            for kubernetes in ("1.27", "1.37"):
                try:
                    kubernetes_validate.validate(one, kubernetes, strict=True)
                except Exception as error:
                    sys.exit(f"{name}, {one['kind']} for Kubernetes {kubernetes}: {error}")
        of_kind = {}
        for one in found:
            of_kind.setdefault(one["kind"], {})[one["metadata"]["name"]] = one
        chart_holds_together(name, chart.merge_values(values), of_kind)
        print(f"{name}: {', '.join(f'{len(ones)} {kind}' for kind, ones in of_kind.items())}")
    for values, wanted in REFUSED:
        try:
            chart.validate_schema(values)
            chart.render(values, name="rtm")
        except helm_python.HelmError as error:
            check(wanted in str(error), f"of {values}: {error}")
        else:
            sys.exit(f"the chart takes {values}")
    print(f"{len(REFUSED)} wrong values are refused")


def chart_holds_together(name, values, of_kind):
    """What one manifest says of another, times that depend on each other, and the configuration that the server gets."""
    (full, stateful), = of_kind["StatefulSet"].items()
    pod = stateful["spec"]["template"]["spec"]
    container, = pod["containers"]
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    for service in of_kind["Service"].values():
        check(service["spec"]["selector"].items() <= labels.items(), f"{name}: {service['metadata']['name']} selects no pod")
        ports = {one["name"] for one in container["ports"]}
        check({one["targetPort"] for one in service["spec"]["ports"]} <= ports, f"{name}: a service leads to no port")
    check(stateful["spec"]["serviceName"] in of_kind["Service"], f"{name}: there is no {stateful['spec']['serviceName']}")
    check(("PodDisruptionBudget" in of_kind) == bool(values["cluster"]["nats"] and values["podDisruptionBudget"]["enabled"]), name)
    mounted = {one["name"] for one in container["volumeMounts"]}
    volumes = {one["name"] for one in pod["volumes"]} | {one["metadata"]["name"] for one in stateful["spec"].get("volumeClaimTemplates", [])}
    check(mounted == volumes, f"{name}: mounted are {mounted}, there are {volumes}")

    secrets = of_kind.get("Secret", {})
    text = secrets[full]["stringData"]["rtm.toml"] if full in secrets else ""
    known = {"POD_NAME": f"{full}-0", "POD_IP": "::1" if values["ipv6"] else "127.0.0.1"}
    environment = {}
    for one in container["env"]:
        value = one.get("value", known.get(one["name"], CERTIFICATE))
        environment[one["name"]] = re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], value)
    with tempfile.TemporaryDirectory() as folder:
        files(folder)
        said = config_check({key: value.replace("/etc/rtm-", f"{folder}/rtm-") for key, value in environment.items()}, text)
    check(APP_ID in said and CERTIFICATE not in said.replace(f'app_id = "{CERTIFICATE}"', ""), f"{name}: {said}")
    seconds = [int(environment[key].removesuffix("s")) for key in ("RTM_DRAIN_DELAY", "RTM_DRAIN_TIME")]
    check(pod["terminationGracePeriodSeconds"] >= sum(seconds) + 25, f"{name}: a server is killed before it has sent its clients away")


def files(folder):
    """What Secrets would hold, where the chart mounts them."""
    tls, nats, ca = (pathlib.Path(folder, name) for name in ("rtm-tls", "rtm-nats", "rtm-nats-ca"))
    for one in (tls, nats, ca):
        one.mkdir()
    certificate(tls / "tls.crt", tls / "tls.key")
    shutil.copy(tls / "tls.crt", ca / "ca.crt")
    (nats / "password").write_text("secret")
    # A user's key of NATS: what it is, 32 bytes, and their sum.
    seed = bytes([0x95, 0]) + bytes(32)
    seed = base64.b32encode(seed + binascii.crc_hqx(seed, 0).to_bytes(2, "little")).decode().rstrip("=")
    (nats / "nats.creds").write_text(
        "-----BEGIN NATS USER JWT-----\ne30.e30.e30\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n")


def certificate(file, key):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-keyout", key,
         "-out", file, "-subj", "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=DNS:localhost"],
        check=True, stderr=subprocess.DEVNULL)


SINGLE = """
listen = "127.0.0.1:0"
data_dir = "data"
admin.listen = "127.0.0.1:0"
tls = { certificate = "tls.crt", key = "tls.key" }
[[project]]
app_id = "%s"
[[project.webhook]]
name = "billing"
url = "https://127.0.0.1:1/"
allow_private = true
secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
[[project.hook]]
type = "filter_message"
url = "https://127.0.0.1:1/"
allow_private = true
secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
on_error = "allow"
"""

# What Prometheus adds to what a server says, and the operator of Kubernetes.
SCRAPED = {"job", "instance", "pod"}


def metrics(nats):
    tools = pathlib.Path(os.environ["PROMETHEUS"])
    rules = PACKAGES / "prometheus/rtm.rules.yml"
    for arguments in (["check", "config", PACKAGES / "prometheus/prometheus.yml"], ["test", "rules", rules.with_name("rtm.rules.test.yml")]):
        run = subprocess.run([tools / "promtool", *arguments], capture_output=True, text=True)
        check(run.returncode == 0, run.stdout + run.stderr)
    import yaml

    alerts = [rule for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]]
    names = [rule["alert"] for rule in alerts]
    check(len(set(names)) == len(names), "two alerts have one name")
    tested = rules.with_name("rtm.rules.test.yml").read_text()
    check(all(f'alertname="{name}"}}\', value: 1' in tested for name in names), "an alert is not tested")
    page = (ROOT / "docs/operations.md").read_text()
    check(re.findall(r"^\| `(Rtm\w+)` \|", page, re.MULTILINE) == names, "docs/operations.md has other alerts, or in another order")
    dashboard = json.loads((PACKAGES / "grafana/rtm.json").read_text())
    panels = [(panel["title"], target) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    queries = [(rule["alert"], rule["expr"], rule["annotations"]["summary"]) for rule in alerts]
    queries += [(title, target["expr"], target["legendFormat"]) for title, target in panels]
    queries = [(title, expr.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$app_id", ".*").replace("$job", "rtm"), text)
               for title, expr, text in queries]

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        folder = pathlib.Path(folder)
        admins = start_servers(folder, nats, running)
        texts = [ask(f"http://{admin}/metrics").decode() for admin in admins]
        for text in texts:
            run = subprocess.run([tools / "promtool", "check", "metrics"], input=text, capture_output=True, text=True)
            check(run.returncode == 0 and not run.stdout + run.stderr, run.stdout + run.stderr)
        known = samples("\n".join(texts))
        for title, expr, text in queries:
            look_up(title, expr, text, known)
        evaluate(folder, tools, admins, queries, running)
    print(f"{len(alerts)} alerts, {len(panels)} queries of panels, {len(known)} series by name")


def start_servers(folder, nats, running):
    """One server with all that has metrics, and one of a cluster. Gives where their admin listeners are."""
    certificate(folder / "tls.crt", folder / "tls.key")
    (folder / "one.toml").write_text(SINGLE % APP_ID)
    start(running, folder, [nats, "-js", "-sd", folder / "nats", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder])
    ports = wait_for(lambda: next(folder.glob("*.ports"), None), "NATS does not start")
    url = wait_for(lambda: ports.read_text() and json.loads(ports.read_text())["nats"][0], "NATS says no port")
    one = start(running, folder, [RTM, "serve", "--config", "one.toml"], stdout=subprocess.PIPE, text=True)
    node = start(running, folder, [RTM, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--project", APP_ID, "--cluster", url],
                 stdout=subprocess.PIPE, text=True)
    admins = []
    for server in (one, node):
        gateway = server.stdout.readline().strip().removeprefix("listening on ")
        admins.append(server.stdout.readline().strip().removeprefix("admin on "))
        tls = ["--ca", folder / "tls.crt"] if server is one else []
        scheme = "https" if server is one else "http"
        at = [f"--gateway={scheme}://localhost:{gateway.rsplit(':', 1)[1]}" if tls else f"--gateway={scheme}://{gateway}", f"--app-id={APP_ID}"]
        subprocess.run([RTM, "send", *at, *tls, "--uid", "alice", "--to", "bob", "hello"], check=True, stdout=subprocess.DEVNULL)
    return admins


def start(running, folder, command, **more):
    more = {"stdout": subprocess.DEVNULL, **more}
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **more)

    def end():
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    running.callback(end)
    return process


def wait_for(what, complaint, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if found := what():
                return found
        time.sleep(0.2)
    sys.exit(complaint)


def ask(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def samples(text):
    """Of each series' name the values of each of its labels."""
    known = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels = re.match(r"(\w+)(?:\{(.*)\})? ", line).groups()
            values = known.setdefault(name, {})
            for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""):
                values.setdefault(label, set()).add(value)
    return known


def look_up(title, expr, text, known):
    """Whether what a query names is there: metrics, their labels, and those values of labels that the server lists."""
    labels = {*SCRAPED}
    for name, selector in re.findall(r"\b((?:rtm|process|up)(?:_\w+)?)\b(?!\")(?:\{([^}]*)\})?", expr):
        if name == "up":
            continue
        check(name in known, f"{title}: no server says {name}")
        labels |= known[name].keys()
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"', selector):
            check(label in known[name].keys() | SCRAPED, f"{title}: {name} has no label {label}")
            if label not in SCRAPED and value != ".*":
                wrong = set(value.split("|")) - known[name][label]
                check(not wrong, f"{title}: {name} has no {label} {', '.join(wrong)}")
    for grouped in re.findall(r"\b(?:by|without|on|ignoring) \(([^)]*)\)", expr):
        check({one.strip() for one in grouped.split(",")} <= labels, f"{title}: no metric there has all of {grouped}")
    named = set(re.findall(r"\{\{(?: \$labels\.)?(\w+)", text))
    check(named <= labels, f"{title}: {text} names a label that is not there")


def evaluate(folder, tools, admins, queries, running):
    """Prometheus itself, with these servers, these rules and the queries of the dashboard."""
    config = (PACKAGES / "prometheus/prometheus.yml").read_text().replace("15s", "1s").replace('"rtm:8090"', json.dumps(admins)[1:-1])
    (folder / "prometheus.yml").write_text(config)
    shutil.copy(PACKAGES / "prometheus/rtm.rules.yml", folder)
    port = free_port()
    start(running, folder, [tools / "prometheus", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", "--config.file=prometheus.yml",
                            "--storage.tsdb.path=prometheus"])
    api = f"http://127.0.0.1:{port}/api/v1"

    def query(expr):
        return json.loads(ask(f"{api}/query?{urllib.parse.urlencode({'query': expr})}"))["data"]["result"]

    def rules():
        groups = json.loads(ask(f"{api}/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_for(lambda: len(query('count_over_time(up{job="rtm"}[1m]) > 3')) == len(admins), "Prometheus does not reach the servers")
    wait_for(lambda: all(rule["health"] != "unknown" for rule in rules()), "Prometheus does not judge the rules")
    for rule in rules():
        check(rule["health"] == "ok", f"{rule['name']}: {rule.get('lastError')}")
        # Nobody has received the webhook, whose endpoint is not there; that the server says so in its log, alerts nobody.
        check(rule["state"] != "firing", f"{rule['name']} alerts, and all is well: {rule['alerts']}")
    for title, expr, _ in queries:
        query(expr)
    empty = {title for title, expr, _ in queries[len(rules()):] if not query(expr)} - {"REST", "Log"}
    check(not empty, f"these panels show nothing: {', '.join(sorted(empty))}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


if __name__ == "__main__":
    checks = {"sbom": sbom, "compose": compose, "helm": helm, "metrics": metrics}
    checks[sys.argv[1]](*sys.argv[2:])
