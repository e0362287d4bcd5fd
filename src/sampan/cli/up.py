"""`sampan up`: bring a cluster up, and stay with it unless told to leave (-d)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from sampan.app import edge_ports, kubeconfig
from sampan.app.config import Cluster, load, state_root
from sampan.app.prepare import prepare
from sampan.app.supervisor import running
from sampan.base.errors import SampanError, UserError
from sampan.base.fs import exclusive
from sampan.cli.moments import retention
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir
from sampan.cli.told import Told
from sampan.store.recovery import restorations


def up(
    cluster: ClusterName = DEFAULT_CLUSTER,
    nodes: Annotated[int | None, typer.Option("--nodes", help="Number of nodes \\[default: 1, or as before].")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when the cluster is ready.")] = False,
    no_merge: Annotated[
        bool, typer.Option("--no-kubeconfig-merge", help="Leave the user's own kubeconfig alone.")
    ] = False,
    history: Annotated[
        str, typer.Option("--history", help="How long to keep the past: 7d, 1G or 7d,1G \\[default: 24h,256M].")
    ] = "",
    http_port: Annotated[
        int | None,
        typer.Option(
            "--http-port",
            help="This machine's port for the default gateway, 0 for none "
            "\\[default: 80, or 8080 when 80 or 443 is taken; or as before].",
        ),
    ] = None,
    https_port: Annotated[
        int | None, typer.Option("--https-port", help="The same for HTTPS \\[default: 443 or 8443; or as before].")
    ] = None,
    state: StateDir = None,
) -> int:
    """Bring a cluster up: API server, nodes, networks, DNS. Pods it had before start again."""
    began = time.monotonic()
    before = load(cluster, state_root(state))
    made = prepare(cluster, state_root(state), nodes, retention(history), (http_port, https_port))
    ours = False
    try:
        with exclusive(made.directory):  # a second `up` waits for the first, then finds the cluster up
            if pid := running(made):
                print(f"cluster {made.name} is up already (supervisor {pid})")
                _say_what_waits(made)
            else:
                ours = True
                _say_what_moved(before, made, (http_port, https_port))
                _start_or_undo(made)
            told = None if detach else Told()
            if ours:
                print(f"cluster {made.name} is ready after {time.monotonic() - began:.2f} s")
        return _stay(made, told, merge=not no_merge)
    except KeyboardInterrupt:
        if ours:
            from sampan.cli.live import leave

            leave(made)
        raise


def _say_what_waits(cluster: Cluster) -> None:
    """Nodes that were asked for while the cluster runs: they are noted, the next start makes them."""
    if later := [node for node in cluster.plan.nodes if not cluster.node_run(node).exists()]:
        print(f"  not before the next start: {', '.join(later)}   (sampan down --cluster {cluster.name}, then up)")
    if (now := edge_ports.started_with(cluster)) and now != cluster.edge_ports:
        print(f"  not before the next start: the gateway's ports {_ports(cluster)}")


def _say_what_moved(before: Cluster | None, cluster: Cluster, asked: edge_ports.Wanted) -> None:
    """Ports that somebody else has taken meanwhile."""
    if before and before.chosen_ports and asked == (None, None) and before.chosen_ports != cluster.chosen_ports:
        print(f"  the gateway's ports {_ports(before)} are taken by another program: {_ports(cluster)} instead")


def _ports(cluster: Cluster) -> str:
    return "/".join(str(port) if port else "none" for port in cluster.edge_ports)


def _stay(cluster: Cluster, told: Told | None, *, merge: bool) -> int:
    for report in restorations(cluster.store):
        print(f"‼ {report.read_text().strip()}\n  (rm {report} when you have read it)")
    if merge:
        kubeconfig.merge(cluster, kubeconfig.user_config())
    _introduce(cluster, merged=merge)
    if told is None:
        return 0
    from sampan.cli.live import stay

    return stay(cluster, told)


def _start_or_undo(cluster: Cluster) -> None:
    fresh = not cluster.run.exists()
    try:
        _start(cluster)
    except SampanError:
        if fresh:  # nothing of it ran before: what was begun is taken back
            from sampan.app.destroy import take_down

            take_down(cluster)
        raise


def _start(cluster: Cluster) -> None:
    """Start the supervisor and follow its reports until the cluster is ready. Raises UserError when it is not."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "sampan", "supervise", "--cluster", cluster.name, "--state", str(cluster.root)]
    with (cluster.logs / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--report-fd", str(write)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write,),
            start_new_session=True,
            cwd="/",
        )
    os.close(write)
    with os.fdopen(read) as reports:
        for line in reports:
            report = json.loads(line)
            if "error" in report:
                process.terminate()
                process.wait()
                raise UserError(report["error"], report["hint"])
            if report.get("ready"):
                return
            print(f"✔ {report['stage']:<16} {report['ms']:>5} ms", flush=True)
    raise SampanError(f"the supervisor ended before the cluster was ready; see {cluster.logs / 'supervisor.log'}")


def _introduce(cluster: Cluster, merged: bool) -> None:
    plan = cluster.plan
    print(f"  API       {cluster.url}   (from pods: https://kubernetes)")
    print(f"  networks  pods {plan.pod_cidr}, services {plan.service_cidr}, nodes {plan.lan_cidr}")
    if gateway := edge_ports.shown(edge_ports.started_with(cluster) or cluster.edge_ports):
        print(f"  gateway   {gateway}   (once there is an Ingress or a Gateway)")
    print(f"  kubectl   export KUBECONFIG={cluster.kubeconfig}")
    if merged:
        own = Path(kubeconfig.user_config())
        print(f"            or: kubectl --context {kubeconfig.context_name(cluster.name)}   (merged into {own})")
