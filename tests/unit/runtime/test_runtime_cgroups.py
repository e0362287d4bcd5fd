"""Both versions of control groups on a made-up tree (the kernel's part is played by plain files)."""

from __future__ import annotations

from pathlib import Path

from sampan.node.runtime.cgroups import V1, V2, detect
from sampan.node.runtime.types import Resources, Usage

LIMITS = Resources(cpu_request=0.5, cpu_limit=1.5, memory_limit=64 << 20)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def mountinfo(path: Path, *mounts: tuple[Path, str, str]) -> Path:
    lines = [f"30 20 0:{n} / {where} rw - {kind} {kind} {opts}" for n, (where, kind, opts) in enumerate(mounts)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def v2(root: Path) -> V2:
    group = "sampan/c/n/pod/web.0/"
    names = (
        "cpu.weight",
        "cpu.max",
        "memory.max",
        "memory.swap.max",
        "memory.oom.group",
        "cgroup.procs",
        "cgroup.kill",
    )
    files = {f"{group}{name}": "" for name in names}
    levels = ("", "sampan/", "sampan/c/", "sampan/c/n/", "sampan/c/n/pod/")
    files |= {f"{level}cgroup.subtree_control": "" for level in levels}
    files["cgroup.controllers"] = "cpuset cpu io memory pids"
    return V2(tree(root, files), "sampan/c/n")


def test_v2_limits_and_delegation(tmp_path: Path) -> None:
    groups = v2(tmp_path)
    groups.create("pod/web.0", LIMITS)
    group = tmp_path / "sampan/c/n/pod/web.0"
    assert (group / "cpu.max").read_text() == "150000 100000"
    assert (group / "cpu.weight").read_text() == "20"
    assert (group / "memory.max").read_text() == str(64 << 20)
    assert (group / "memory.swap.max").read_text() == "0"
    assert (group / "memory.oom.group").read_text() == "1"
    assert "+" in (tmp_path / "sampan/c/n/pod/cgroup.subtree_control").read_text()
    assert groups.missing == ()


def test_v2_reads(tmp_path: Path) -> None:
    groups = v2(tmp_path)
    tree(
        tmp_path / "sampan/c/n/pod/web.0",
        {
            "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
            "memory.current": "5000\n",
            "memory.stat": "anon 1\ninactive_file 2000\n",
            "memory.events": "low 0\noom 3\noom_kill 2\n",
            "cgroup.procs": "12\n7\n",
        },
    )
    assert groups.usage("pod/web.0") == Usage(2.5, 3000)
    assert groups.oom_kills("pod/web.0") == 2
    assert groups.processes("pod") == [7, 12]
    groups.kill("pod/web.0")
    assert (tmp_path / "sampan/c/n/pod/web.0/cgroup.kill").read_text() == "1"
    assert groups.usage("gone/x.0") == Usage(0, 0)


def test_v1_reads_and_limits(tmp_path: Path) -> None:
    base = "sampan/c/n/pod/web.0"
    tree(
        tmp_path,
        {
            f"cpu/{base}/cpu.shares": "",
            f"cpu/{base}/cpu.cfs_quota_us": "",
            f"cpu/{base}/cpu.cfs_period_us": "",
            f"memory/{base}/memory.limit_in_bytes": "",
            f"memory/{base}/memory.usage_in_bytes": "9000",
            f"memory/{base}/memory.stat": "cache 1\ntotal_inactive_file 1000\n",
            f"memory/{base}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
            f"cpuacct/{base}/cpuacct.usage": "1500000000",
        },
    )
    groups = V1({name: tmp_path / name for name in ("cpu", "cpuacct", "memory")}, "sampan/c/n")
    groups.create("pod/web.0", LIMITS)
    assert (tmp_path / "cpu" / base / "cpu.shares").read_text() == "512"
    assert (tmp_path / "cpu" / base / "cpu.cfs_quota_us").read_text() == "150000"
    assert (tmp_path / "memory" / base / "memory.limit_in_bytes").read_text() == str(64 << 20)
    assert groups.usage("pod/web.0") == Usage(1.5, 8000)
    assert groups.oom_kills("pod/web.0") == 1
    assert groups.missing == ("pids",)


def test_removal_goes_up_to_what_others_use(tmp_path: Path) -> None:
    roots = {name: tmp_path / name for name in ("cpu", "memory")}
    groups = V1(roots, "sampan/c/n")
    groups.create("pod/web.0", Resources())
    V1(roots, "sampan/c/other").create("", Resources())
    assert groups.remove("")
    groups.prune()
    assert [p.name for p in (tmp_path / "cpu/sampan/c").iterdir()] == ["other"]
    assert groups.remove("pod")  # again is no mistake


def test_detect_prefers_the_tree_that_has_memory(tmp_path: Path) -> None:
    unified = tree(tmp_path / "unified", {"cgroup.controllers": "cpu memory pids"})
    empty = tree(tmp_path / "empty", {"cgroup.controllers": ""})
    only2 = mountinfo(tmp_path / "m2", (unified, "cgroup2", "rw"))
    for name in ("cpu", "memory"):
        (tmp_path / name).mkdir()
    hybrid = mountinfo(
        tmp_path / "m1",
        (tmp_path / "cpu", "cgroup", "rw,cpu,cpuacct"),
        (tmp_path / "memory", "cgroup", "rw,memory"),
        (empty, "cgroup2", "rw"),
    )
    assert isinstance(detect("sampan/c/n", only2), V2)
    found = detect("sampan/c/n", hybrid)
    assert isinstance(found, V1)
    assert found.missing == ("pids",)
    assert [target for _, target in found.binds("p/c.0")] == [
        "/sys/fs/cgroup/cpu",
        "/sys/fs/cgroup/cpuacct",
        "/sys/fs/cgroup/memory",
    ]


def test_a_machine_without_controllers_still_works(tmp_path: Path) -> None:
    groups = detect("sampan/c/n", mountinfo(tmp_path / "m"))
    groups.create("pod", LIMITS)
    groups.join("pod")
    assert groups.processes("pod") == []
    assert groups.missing == ("cpu", "cpuacct", "memory", "pids")
    assert groups.remove("pod")
