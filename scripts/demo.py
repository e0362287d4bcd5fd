"""`make demo`: the main job, told in a terminal. Real kubectl, real pods; below each `$` is what it printed."""

from __future__ import annotations

import collections
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
from e2e import Load, answered_by  # noqa: E402

SAMPAN = str(ROOT / ".venv/bin/sampan")
EXAMPLE = ROOT / "examples/cloud-user"
GIN = ROOT / "examples/gin-demo"
CLUSTER = "demo"
TTY = sys.stdout.isatty()


def paint(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if TTY else text


def say(text: str) -> None:
    print(f"\n{paint('1;36', '▌ ' + text)}", flush=True)


def run(command: str, shown: str = "", check: bool = True) -> str:
    """Run a command, print it and what it says; return what it says."""
    print(paint("2", f"$ {shown or command}"), flush=True)
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, cwd=ROOT, check=False)
    print("".join(f"  {line}\n" for line in (done.stdout + done.stderr).splitlines()), end="", flush=True)
    if check and done.returncode:
        sys.exit(f"\nerror: the demo stops here: {command} exited with {done.returncode}\nhint:  {SAMPAN} doctor")
    return done.stdout


def quiet(command: str) -> str:
    return subprocess.run(shlex.split(command), capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()


def show(counts: collections.Counter[str]) -> None:
    for name, count in sorted(counts.items()):
        print(f"  {name}  {paint('32', '█' * (count // 2))} {count}")


def settle(selector: str, count: int) -> None:
    """Wait until exactly `count` pods with the label are there."""
    deadline = time.monotonic() + 60
    while len(quiet(f"kubectl get pods -l {selector} -o name").splitlines()) != count:
        if time.monotonic() > deadline:
            sys.exit(f"error: pods of {selector} did not settle at {count}\nhint:  kubectl get pods -l {selector}")
        time.sleep(0.2)


def wait_for(command: str) -> str:
    """What the command says, once it says something and succeeds."""
    deadline = time.monotonic() + 30
    while not (said := quiet(command)):
        if time.monotonic() > deadline:
            sys.exit(f"error: nothing within 30 s from: {command}\nhint:  kubectl get events -A")
        time.sleep(0.1)
    return said


def main() -> None:
    began = time.monotonic()
    say("A cluster of three nodes. No Docker, no VM: network namespaces of this machine.")
    run(f"{SAMPAN} image register cloud-user:1.0 --workdir {EXAMPLE} -- python3 -u app.py")
    run(f"{SAMPAN} up -d --cluster {CLUSTER} --nodes 3 --no-kubeconfig-merge")
    os.environ["KUBECONFIG"] = quiet(f"{SAMPAN} kubeconfig --cluster {CLUSTER}")

    say("Your manifests, the real kubectl.")
    run("kubectl apply -f examples/cloud-user/")
    for name in ("deployment-cloud-user", "deployment-bq-api-service"):
        quiet(f"kubectl scale deployment {name} --replicas {2 if 'cloud-user' in name else 1}")
        run(f"kubectl rollout status deployment {name} --timeout 60s")
    settle("app=cloud-user", 2)

    say("Pods are processes with IPs of their own, spread over the nodes.")
    run("kubectl get pods -o wide")
    run("kubectl get svc -o wide")

    ip = quiet("kubectl get svc clusterip-cloud-user -o jsonpath={.spec.clusterIP}")
    url = f"http://{ip}:8080/actuator/info"
    say(f"The ClusterIP {ip} is a real virtual IP, reachable from this machine too. 60 calls, answered by:")
    run(f"curl -s {url}")
    show(answered_by(url, 60))

    client = quiet("kubectl get pods -l app=bq-api-service -o jsonpath={.items[0].metadata.name}")
    say("Names resolve inside a pod.")
    run(f"kubectl exec {client} -- getent hosts clusterip-cloud-user")
    run(f"kubectl exec {client} -- cat /etc/resolv.conf")

    say("Service B calls service A by its name.")
    caller = quiet("kubectl get svc clusterip-bq-api-service -o jsonpath={.spec.clusterIP}")
    run(f"curl -s http://{caller}:8080/ext-service/user-service/info")

    say("A NodePort answers on this machine's own addresses.")
    run("curl -s http://127.0.0.1:31001/actuator/info")

    say("Scale from 2 to 4: the new pods take traffic.")
    run("kubectl scale deployment deployment-cloud-user --replicas 4")
    run("kubectl rollout status deployment deployment-cloud-user --timeout 60s")
    show(answered_by(url, 120))

    say("From outside: an Ingress of the nginx dialect (a regular expression and a rewrite), served by a real Envoy.")
    run(f"{SAMPAN} image register 2976560783/gin-demo:1.0 --workdir {GIN} -- python3 -u app.py")
    run("kubectl apply -f examples/gin-demo/")
    run("kubectl rollout status deployment gin-demo --timeout 60s")
    address = wait_for("kubectl get ingress gateway -o jsonpath={.status.loadBalancer.ingress[0].ip}")
    wait_for(f"curl -sf http://{address}/api/v1/ping")
    run("kubectl get ingress")
    for _ in range(3):
        run(f"curl -s http://{address}/api/v1/ping")
    run(f"{SAMPAN} route --cluster {CLUSTER} GET http://{address}/api/v1/ping")

    say("A rolling restart under load, with no preStop hook and no sleep anywhere.")
    with Load(url) as load:
        time.sleep(0.5)
        run("kubectl rollout restart deployment deployment-cloud-user")
        run("kubectl rollout status deployment deployment-cloud-user --timeout 120s")
        time.sleep(0.5)
    total = load.total
    verdict = paint("1;32" if not load.failed else "1;31", f"{len(load.failed)} failed")
    print(f"  {total} requests answered by {len(load.answered)} pods, {verdict}")
    for reason, count in collections.Counter(load.failed).most_common(3):
        print(f"  {count} x {reason}")

    say(f"That was {time.monotonic() - began:.0f} seconds. The cluster is still up; three things to try next:")
    print(f"  export KUBECONFIG={os.environ['KUBECONFIG']}")
    print("  1. kubectl run -it --rm box --image=busybox --restart=Never -- sh")
    print("     and in it: wget -qO- clusterip-cloud-user:8080/actuator/info")
    print(f"  2. {SAMPAN} trace --cluster {CLUSTER} {client} clusterip-cloud-user:8080")
    print("     why does this request go there?")
    print("  3. kubectl apply -f your-own.yaml")
    print("     `sampan image register` says what its image: names run")
    print(f"  When done: {SAMPAN} down --cluster {CLUSTER} --delete")
    sys.exit(1 if load.failed else 0)


main()
