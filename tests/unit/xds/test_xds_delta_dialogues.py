"""The incremental dialect, as dialogues. Source: "Incremental xDS" and "Resource hints" of Envoy's protocol document."""

from xdsdialogue import CDS, EDS, LDS, RDS, SDS, Dialogue, snapshot

from sampan.xds.subscription import PATIENCE
from sampan.xds.types import CLUSTER, LISTENER

WORLD = snapshot(1, CDS="a@1>ea b@1>eb", EDS="ea@1 eb@1", SDS="s@1", LDS="l@1", RDS="r@1")


def connected(world=WORLD):
    """An Envoy that has all of WORLD."""
    d = Dialogue().publish(world)
    d.client(CDS).client(LDS).client(EDS, "ea", "eb").client(RDS, "r").client(SDS, "s")
    return d.hears_and_acks("CDS a@1 b@1", "EDS ea@1 eb@1", "SDS s@1", "LDS l@1", "RDS r@1")


class TestSubscribing:
    def test_a_first_request_without_names_asks_for_all(self):
        Dialogue().publish(WORLD).client(CDS).hears("CDS a@1 b@1").ack(CDS).hears()

    def test_so_does_a_star(self):
        Dialogue().publish(WORLD).client(CDS, "*").hears("CDS a@1 b@1").ack(CDS).hears()

    def test_endpoints_have_no_star(self):
        Dialogue().publish(WORLD).client(EDS).hears().client(EDS, "*").hears("EDS -*")

    def test_names_get_just_those(self):
        Dialogue().publish(WORLD).client(EDS, "eb").hears("EDS eb@1").ack(EDS).hears()

    def test_a_name_beside_the_legacy_star_keeps_the_star(self):
        d = Dialogue().publish(WORLD).client(CDS).hears("CDS a@1 b@1").ack(CDS)
        d.client(CDS, "a").hears("CDS a@1").ack(CDS)
        d.publish(snapshot(2, CDS="a@1>ea b@2>eb")).hears("CDS b@2")

    def test_taking_the_star_back_keeps_the_names(self):
        d = Dialogue().publish(WORLD).client(CDS).hears("CDS a@1 b@1").ack(CDS)
        d.client(CDS, "a").hears("CDS a@1").ack(CDS).client(CDS, minus=["*"]).hears()
        d.publish(snapshot(2, CDS="a@1>ea b@2>eb")).hears()
        d.publish(snapshot(3, CDS="a@3>ea b@2>eb")).hears("CDS a@3")

    def test_once_a_name_was_said_nothing_is_no_star(self):
        d = Dialogue().publish(WORLD).client(CDS, "a").hears("CDS a@1").ack(CDS)
        d.client(CDS, minus=["a"]).client(CDS).hears().publish(snapshot(2, CDS="a@2 b@2")).hears()

    def test_a_name_taken_back_beside_a_star_is_told_again(self):
        d = Dialogue().publish(WORLD).client(CDS, "*", "a", "ghost").hears("CDS a@1 b@1 -ghost").ack(CDS)
        d.client(CDS, minus=["a", "ghost"]).hears("CDS a@1 -ghost")

    def test_what_is_not_there_is_said_at_once_and_sent_when_it_comes(self):
        d = Dialogue().publish(WORLD).client(EDS, "new").hears("EDS -new").ack(EDS)
        d.publish(snapshot(2, EDS="ea@1 eb@1 new@1")).hears("EDS new@1")

    def test_asking_again_gets_it_again(self):
        d = connected().client(EDS, "ea").hears("EDS ea@1").ack(EDS)
        d.client(EDS, minus=["ea"]).client(EDS, "ea").hears("EDS ea@1")

    def test_taking_back_what_it_never_asked_for_is_no_fault(self):
        connected().client(EDS, minus=["nobody"]).hears()

    def test_nothing_is_said_before_there_is_a_snapshot(self):
        d = Dialogue().client(CDS).client(EDS, "ea").hears()
        d.publish(WORLD).hears("CDS a@1 b@1", "EDS ea@1")


class TestChanges:
    def test_only_what_changed_is_sent(self):
        connected().publish(snapshot(2, CDS="a@1>ea b@1>eb", EDS="ea@1 eb@2", SDS="s@1", LDS="l@1", RDS="r@1")).hears(
            "EDS eb@2"
        )

    def test_while_one_is_in_flight_changes_add_up_to_the_newest(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@1>ea b@1>eb", EDS="ea@2 eb@1", SDS="s@1", LDS="l@1", RDS="r@1")).hears("EDS ea@2")
        d.publish(snapshot(3, CDS="a@1>ea b@1>eb", EDS="ea@3 eb@1", SDS="s@1", LDS="l@1", RDS="r@1")).hears()
        d.publish(snapshot(4, CDS="a@1>ea b@1>eb", EDS="ea@4 eb@4", SDS="s@1", LDS="l@1", RDS="r@1")).hears()
        assert d.state(EDS) == "STALE 2/1"
        d.ack(EDS).hears("EDS ea@4 eb@4").ack(EDS).hears()
        assert d.state(EDS) == "SYNCED 4/4"

    def test_endpoints_wait_for_nobody(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@2>ea b@1>eb", EDS="ea@1 eb@1", SDS="s@1", LDS="l@1", RDS="r@1"))
        d.hears("CDS a@2", "EDS ea@1").ack(EDS)
        d.publish(snapshot(3, CDS="a@2>ea b@1>eb", EDS="ea@1 eb@3", SDS="s@1", LDS="l@1", RDS="r@1")).hears("EDS eb@3")

    def test_routes_and_listeners_wait_until_clusters_are_warm(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@1>ea b@1>eb c@1>ec", EDS="ea@1 eb@1 ec@1", SDS="s@2", LDS="l@2", RDS="r@2"))
        d.hears("CDS c@1", "SDS s@2")
        d.client(EDS, "ec").hears("EDS ec@1")
        d.ack(EDS).hears()
        d.ack(CDS).hears("LDS l@2", "RDS r@2")

    def test_but_not_for_ever(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@1>ea b@1>eb c@1", EDS="ea@1 eb@1", SDS="s@1", LDS="l@1", RDS="r@2"))
        d.hears("CDS c@1").later(PATIENCE - 0.1).hears()
        assert d.session.wake_at(d.now) == PATIENCE
        d.later(0.1).hears("RDS r@2").ack(RDS).hears()
        assert d.session.wake_at(d.now) is None
        assert d.state(CDS) == "STALE 2/1"

    def test_a_cluster_sent_anew_gets_its_endpoints_again(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@2>ea b@1>eb", EDS="ea@1 eb@1", SDS="s@1", LDS="l@1", RDS="r@1"))
        d.hears("CDS a@2", "EDS ea@1")

    def test_a_new_cluster_on_known_endpoints_too(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@1>ea b@1>eb c@1>ea", EDS="ea@1 eb@1", SDS="s@1", LDS="l@1", RDS="r@1"))
        d.hears("CDS c@1", "EDS ea@1")


class TestRemovals:
    def test_what_refers_goes_first_and_clusters_when_all_else_is_answered(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@1>ea", EDS="ea@1", SDS="s@1", LDS="l@1", RDS="r@2"))
        d.hears("RDS r@2").later(0.5).hears()
        d.ack(RDS).hears("CDS -b")
        d.client(EDS, minus=["eb"]).ack(CDS).hears()
        assert d.session.settled

    def test_endpoints_of_a_cluster_that_stays_are_taken_away(self):
        d = connected().publish(snapshot(2, CDS="a@1>ea b@1>eb", EDS="ea@1", SDS="s@1", LDS="l@1", RDS="r@1"))
        d.hears("EDS -eb")

    def test_a_listener_is_taken_away_with_the_one_that_takes_its_port(self):
        d = connected().publish(snapshot(2, CDS="a@1>ea b@1>eb", EDS="ea@1 eb@1", SDS="s@1", LDS="l2@1", RDS="r@1"))
        d.hears("LDS l2@1 -l")

    def test_what_comes_back_before_it_was_taken_away_is_just_sent(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@1>ea", EDS="ea@1 eb@1", SDS="s@1", LDS="l@1", RDS="r@2")).hears("RDS r@2")
        d.publish(snapshot(3, CDS="a@1>ea b@2>eb", EDS="ea@1 eb@1", SDS="s@1", LDS="l@1", RDS="r@2"))
        d.hears("CDS b@2", "EDS eb@1").ack(RDS).ack(CDS).ack(EDS).hears()


class TestNack:
    def test_a_refused_resource_is_not_sent_again_until_it_changes(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@1>ea b@1>eb", EDS="ea@1 eb@1", SDS="s@1", LDS="l@2", RDS="r@1")).hears("LDS l@2")
        d.nack(LDS, "bad filter").hears()
        assert d.nacks == ["LDS l: bad filter"]
        assert d.state(LDS) == "NACK 2/1 bad filter"
        d.publish(snapshot(3, CDS="a@1>ea b@1>eb", EDS="ea@1 eb@1", SDS="s@1", LDS="l@3", RDS="r@1")).hears("LDS l@3")
        d.ack(LDS).hears()
        assert d.state(LDS) == "SYNCED 3/3"

    def test_of_several_the_one_that_is_named_is_tried_alone(self):
        d = Dialogue().publish(snapshot(1, LDS="x@1 x-2@1 y@1")).client(LDS).hears("LDS x@1 x-2@1 y@1")
        d.nack(LDS, "Error adding/updating listener(s) x: no such filter").hears("LDS x-2@1 y@1").ack(LDS)
        d.hears("LDS x@1").nack(LDS, "Error adding/updating listener(s) x: no such filter").hears()
        assert d.nacks == ["LDS x: Error adding/updating listener(s) x: no such filter"]

    def test_when_none_is_named_halves_find_it(self):
        d = Dialogue().publish(snapshot(1, CDS="a@1 b@1 c@1 d@1")).client(CDS).hears("CDS a@1 b@1 c@1 d@1")
        d.nack(CDS, "no").hears("CDS a@1 b@1").ack(CDS).hears("CDS c@1 d@1").nack(CDS, "no")
        d.hears("CDS c@1").nack(CDS, "no").hears("CDS d@1").ack(CDS).hears()
        assert d.nacks == ["CDS c: no"]
        assert d.state(CDS) == "NACK 1/1 no"

    def test_refused_clusters_do_not_hold_back_routes(self):
        d = connected()
        d.publish(snapshot(2, CDS="a@2>ea b@1>eb", EDS="ea@1 eb@1", SDS="s@1", LDS="l@1", RDS="r@2"))
        d.hears("CDS a@2", "EDS ea@1").nack(CDS, "bad a").ack(EDS).hears("RDS r@2")

    def test_an_answer_to_an_older_response_is_none(self):
        d = connected()
        old = d.nonces[EDS]
        d.publish(snapshot(2, CDS="a@1>ea b@1>eb", EDS="ea@2 eb@1", SDS="s@1", LDS="l@1", RDS="r@1")).hears("EDS ea@2")
        d.client(EDS, nonce=old, error="late").hears()
        assert d.state(EDS) == "STALE 2/1"
        assert not d.nacks

    def test_but_what_it_asks_for_with_an_older_nonce_counts(self):
        connected().client(EDS, "new", nonce="0").hears("EDS -new")

    def test_a_refused_resource_that_goes_is_forgotten(self):
        d = Dialogue().publish(snapshot(1, LDS="x@1 y@1")).client(LDS).hears("LDS x@1 y@1").nack(LDS, "x: bad")
        d.hears("LDS y@1").ack(LDS).hears("LDS x@1").nack(LDS, "x: bad")
        d.publish(snapshot(2, LDS="y@1")).hears("LDS -x").ack(LDS)
        assert d.state(LDS) == "SYNCED 2/2"


HAS = {"a": "1", "b": "1"}


class TestReconnecting:
    def test_what_it_has_is_not_sent(self):
        d = Dialogue().publish(WORLD).client(CDS, "*", has=HAS).client(EDS, "ea", "eb", has={"ea": "1", "eb": "0"})
        d.hears("EDS eb@1").ack(EDS).hears()
        assert d.session.settled

    def test_the_legacy_star_too(self):
        Dialogue().publish(WORLD).client(CDS, has=HAS).hears()

    def test_what_is_gone_is_taken_away(self):
        d = Dialogue().publish(WORLD).client(CDS, has={**HAS, "old": "7"}).client(EDS, "ea", has={"ea": "1"})
        d.hears("CDS -old")

    def test_what_it_has_is_looked_at_when_the_snapshot_comes(self):
        d = Dialogue().client(CDS, has={"a": "1", "b": "0", "old": "7"}).hears()
        d.publish(WORLD).hears("CDS b@1").ack(CDS).hears("CDS -old")

    def test_a_cluster_that_changed_meanwhile_gets_its_endpoints_again(self):
        d = Dialogue().publish(WORLD).client(CDS, has={"a": "0", "b": "1"}).hears("CDS a@1")
        d.client(EDS, "ea", "eb", has={"ea": "1", "eb": "1"}).hears("EDS ea@1")

    def test_one_that_comes_from_another_server_loses_what_that_had(self):
        gone = {CLUSTER: {"old": None}, LISTENER: {"older": None}}
        d = Dialogue(gone=gone).publish(WORLD).client(CDS, "*").client(LDS, "*")
        d.hears_and_acks("CDS a@1 b@1", "LDS l@1 -older", "CDS -old")
