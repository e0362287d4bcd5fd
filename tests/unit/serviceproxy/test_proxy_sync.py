"""The loop around the rules: coalescing, recovery, draining, NodePorts and UDP flows. In virtual time, no kernel."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from proxyworld import VIP, A, during, endpoint, node_port, service, settled, slice_of

from sampan.base.clock import FakeClock
from sampan.base.errors import ProcessError
from sampan.serviceproxy.conntrack import Flow, Flows, stale
from sampan.serviceproxy.hostports import HostPorts
from sampan.serviceproxy.model import Frontend
from sampan.serviceproxy.nft import Names
from sampan.serviceproxy.sync import ServiceProxy

NOTHING = Names()


class Kernel:
    """Takes transactions; each waits for `gate`, the first `failures` of them fail. `names`: what is there."""

    def __init__(self, failures: int = 0, names: Names = NOTHING) -> None:
        self.texts: list[str] = []
        self.forgotten: list[Flows] = []
        self.names = names
        self.failures = failures
        self.gate = asyncio.Event()
        self.gate.set()

    async def apply(self, text: str) -> None:
        self.texts.append(text)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise ProcessError(["nft"], 1, "no")

    async def read(self) -> Names:
        return self.names

    async def forget(self, flows: Flows) -> None:
        self.forgotten.append(flows)


def play(
    scene: Callable[[ServiceProxy, Kernel, FakeClock], Coroutine[Any, Any, None]],
    failures: int = 0,
    names: Names = NOTHING,
) -> None:
    async def main() -> None:
        kernel, clock = Kernel(failures, names), FakeClock()
        proxy = ServiceProxy(A, clock, apply=kernel.apply, read=kernel.read, forget=kernel.forget)
        assert not proxy.synced()
        await during(proxy.run(), scene(proxy, kernel, clock))

    asyncio.run(main())


def feed(proxy: ServiceProxy, *endpoints: Any, svc: Any = None) -> None:
    proxy.service_changed(None, svc or service())
    proxy.slice_changed(None, slice_of(*endpoints))


def test_first_the_whole_then_differences() -> None:
    async def scene(proxy: ServiceProxy, kernel: Kernel, _: FakeClock) -> None:
        await proxy.wait_synced()
        feed(proxy, endpoint("10.244.0.2"))
        await settled()
        assert [text.startswith("add table") for text in kernel.texts] == [True, False]
        assert proxy.rules.targets() == {"10.244.0.2"}
        proxy.slice_changed(slice_of(), None)
        await settled()
        assert proxy.rules.targets() == set()
        assert "reject" in kernel.texts[-1]
        proxy.service_changed(service(), None)
        await settled()
        assert not proxy.rules.services

    play(scene)


def test_changes_during_a_transaction_are_one() -> None:
    async def scene(proxy: ServiceProxy, kernel: Kernel, _: FakeClock) -> None:
        await proxy.wait_synced()
        kernel.gate.clear()
        feed(proxy, endpoint("10.244.0.2"))
        await settled()
        for last in range(3, 50):
            proxy.slice_changed(None, slice_of(endpoint(f"10.244.0.{last}")))
            await asyncio.sleep(0)
        kernel.gate.set()
        await settled()
        assert len(kernel.texts) == 3
        assert proxy.rules.targets() == {"10.244.0.49"}

    play(scene)


def test_an_equal_object_is_silence() -> None:
    async def scene(proxy: ServiceProxy, kernel: Kernel, _: FakeClock) -> None:
        feed(proxy, endpoint("10.244.0.2"))
        await settled()
        before = len(kernel.texts)
        feed(proxy, endpoint("10.244.0.2"))
        await settled()
        assert len(kernel.texts) == before

    play(scene)


def test_a_failure_means_all_again_after_a_growing_pause() -> None:
    async def scene(proxy: ServiceProxy, kernel: Kernel, clock: FakeClock) -> None:
        feed(proxy, endpoint("10.244.0.2"))
        await settled()
        assert (len(kernel.texts), proxy.synced()) == (1, False)
        await clock.advance(0.1)
        assert (len(kernel.texts), proxy.synced()) == (2, False)
        await clock.advance(0.1)
        assert len(kernel.texts) == 2
        await clock.advance(0.1)
        assert (len(kernel.texts), proxy.synced()) == (3, True)
        assert all(text.startswith("add table") for text in kernel.texts)

    play(scene, failures=2)


def test_caught_up_when_the_kernel_knows_all_that_was_told() -> None:
    async def scene(proxy: ServiceProxy, kernel: Kernel, clock: FakeClock) -> None:
        feed(proxy, endpoint("10.244.0.2"), endpoint("10.244.0.3"))
        await proxy.caught_up()
        assert proxy.rules.targets() == {"10.244.0.2", "10.244.0.3"}
        kernel.gate.clear()
        proxy.slice_changed(None, slice_of(endpoint("10.244.0.3")))
        first = asyncio.create_task(proxy.caught_up())
        await settled()
        proxy.slice_changed(None, slice_of(endpoint("10.244.0.4")))  # comes while nft runs: the next transaction
        second = asyncio.create_task(proxy.caught_up())
        await settled()
        assert (first.done(), second.done()) == (False, False)
        kernel.failures = 1
        kernel.gate.set()
        await settled()
        assert (first.done(), second.done()) == (False, False)
        await clock.advance(0.1)
        assert (first.done(), second.done()) == (True, True)
        assert "10.244.0.4" in kernel.texts[-1]
        await proxy.caught_up()

    play(scene)


def test_a_table_that_is_there_is_renewed_in_place_and_made_anew_when_that_fails() -> None:
    stale = Names(frozenset({"services", "gone"}), frozenset({"cluster-ips", "gone/10800s"}))

    async def scene(proxy: ServiceProxy, kernel: Kernel, clock: FakeClock) -> None:
        feed(proxy, endpoint("10.244.0.2"))
        await settled()
        assert "delete table" not in kernel.texts[0]
        assert "flush map ip sampan service-ips\n" in kernel.texts[0]
        assert "delete chain ip sampan gone\n" in kernel.texts[0]
        assert "delete set ip sampan gone/10800s\n" in kernel.texts[0]
        await clock.advance(0.1)
        assert "delete table" in kernel.texts[1]
        assert proxy.synced()

    play(scene, failures=1, names=stale)


def test_a_slice_that_changes_its_service() -> None:
    async def scene(proxy: ServiceProxy, _kernel: Kernel, __: FakeClock) -> None:
        feed(proxy, endpoint("10.244.0.2"))
        await proxy.wait_synced()
        moved = slice_of(endpoint("10.244.0.2"), name="other")
        moved["metadata"]["name"] = "web-1"
        proxy.slice_changed(slice_of(endpoint("10.244.0.2")), moved)
        await settled()
        assert proxy.rules.targets() == set()

    play(scene)


def test_udp_targets_that_changed_are_forgotten() -> None:
    udp = service(ports=[{"port": 53, "protocol": "UDP"}])
    ports = [{"name": "", "port": 53, "protocol": "UDP"}]

    async def scene(proxy: ServiceProxy, kernel: Kernel, _: FakeClock) -> None:
        proxy.service_changed(None, udp)
        proxy.slice_changed(None, slice_of(endpoint("10.244.0.2"), ports=ports))
        await proxy.wait_synced()
        proxy.slice_changed(None, slice_of(endpoint("10.244.0.3"), ports=ports))
        await settled()
        assert kernel.forgotten[-1] == {Frontend(VIP, "udp", 53): frozenset({("10.244.0.3", 53)})}

    play(scene)


def test_which_flows_are_stale() -> None:
    flows = {
        Frontend(VIP, "udp", 53): frozenset({("10.244.0.3", 53)}),
        Frontend("", "udp", 30053): frozenset({("10.244.0.3", 53)}),
    }
    assert stale(Flow((VIP, 53), ("10.244.0.2", 53), b""), flows)
    assert not stale(Flow((VIP, 53), ("10.244.0.3", 53), b""), flows)
    assert not stale(Flow((VIP, 54), ("10.244.0.2", 53), b""), flows)
    assert stale(Flow(("172.30.0.2", 30053), ("10.244.0.2", 53), b""), flows)
    assert not stale(Flow(("10.244.0.2", 53), ("10.244.0.2", 53), b""), flows)


def test_host_ports() -> None:
    async def main() -> None:
        kernel = Kernel()
        ports = HostPorts("sampan-dev", FakeClock(), apply=kernel.apply)
        ports.service_changed(None, node_port())
        task = asyncio.create_task(ports.run())
        await settled()
        ports.service_changed(
            None, service(type="NodePort", ports=[{"port": 53, "protocol": "UDP", "nodePort": 30053}])
        )
        await settled()
        ports.service_changed(None, service())
        ports.service_changed(service("gone"), None)
        await settled()
        task.cancel()
        assert kernel.texts == [
            "flush set ip sampan-dev nodeports\nflush map ip sampan-dev hostports\n"
            "add element ip sampan-dev nodeports { tcp . 30080 }\n",
            "delete element ip sampan-dev nodeports { tcp . 30080 }\n"
            "add element ip sampan-dev nodeports { udp . 30053 }\n",
            "delete element ip sampan-dev nodeports { udp . 30053 }\n",
        ]

    asyncio.run(main())


def test_a_new_service_waits_a_moment_for_its_endpoints() -> None:
    async def scene(proxy: ServiceProxy, kernel: Kernel, clock: FakeClock) -> None:
        await proxy.wait_synced()
        started = len(kernel.texts)
        proxy.service_changed(None, service())
        await settled()
        assert len(kernel.texts) == started
        proxy.slice_changed(None, slice_of(endpoint("10.244.0.5")))
        await settled()
        assert len(kernel.texts) == started + 1
        assert "10.244.0.5" in kernel.texts[-1]

    play(scene)


def test_a_service_that_stays_without_endpoints_is_refused_all_the_same() -> None:
    async def scene(proxy: ServiceProxy, kernel: Kernel, clock: FakeClock) -> None:
        await proxy.wait_synced()
        proxy.service_changed(None, service())
        while VIP not in kernel.texts[-1]:
            await asyncio.sleep(0.002)
        assert "reject" in kernel.texts[-1]

    play(scene)
