"""The state-of-the-world dialect, as dialogues: each request lists all names, responses of LDS and CDS are complete."""

from xdsdialogue import CDS, EDS, LDS, RDS, Dialogue, snapshot

WORLD = snapshot(1, CDS="a@1>ea b@1>eb", EDS="ea@1 eb@1", LDS="l@1", RDS="r@1")


def sotw():
    return Dialogue(delta=False).publish(WORLD)


def connected():
    d = sotw().client(CDS).client(EDS, "ea", "eb").client(LDS).client(RDS, "r")
    return d.hears_and_acks("CDS a@1 b@1", "EDS ea@1 eb@1", "LDS l@1", "RDS r@1")


def test_no_names_ask_for_all_until_one_was_said():
    d = sotw().client(CDS).hears("CDS a@1 b@1").ack(CDS).hears()
    d.client(CDS, "*", "a").hears("CDS a@1 b@1").ack(CDS, "*", "a")
    d.client(CDS, "a").hears()
    d.publish(snapshot(2, CDS="a@1 b@2")).hears()
    d.client(CDS).publish(snapshot(3, CDS="a@3 b@2")).hears()


def test_one_change_brings_all_clusters_but_only_the_endpoints_that_changed():
    d = connected().publish(snapshot(2, CDS="a@2>ea b@1>eb", EDS="ea@1 eb@2", LDS="l@1", RDS="r@1"))
    d.hears("CDS a@2 b@1", "EDS ea@1 eb@2")


def test_a_name_more_brings_that_one():
    d = sotw().client(EDS, "ea").hears("EDS ea@1").ack(EDS, "ea")
    d.client(EDS, "ea", "eb").hears("EDS eb@1").ack(EDS, "ea", "eb").hears()


def test_for_clusters_it_brings_all_that_were_asked_for():
    d = sotw().client(CDS, "a").hears("CDS a@1").ack(CDS, "a")
    d.client(CDS, "a", "b").hears("CDS a@1 b@1").ack(CDS, "a", "b").hears()


def test_a_name_that_nobody_has_is_answered_when_somebody_does():
    d = sotw().client(LDS, "new").hears()
    d.publish(snapshot(2, LDS="l@1 new@1")).hears("LDS new@1")


def test_clusters_stay_in_the_world_until_no_route_leads_there():
    d = connected().publish(snapshot(2, CDS="a@1>ea c@1>ea", EDS="ea@1 eb@1", LDS="l@1", RDS="r@2"))
    d.hears("CDS a@1 b@1 c@1", "EDS ea@1").ack(EDS, "ea", "eb").ack(CDS).hears("RDS r@2").ack(RDS, "r")
    d.hears("CDS a@1 c@1").ack(CDS).hears()
    assert d.session.settled


def test_the_last_listener_goes_by_an_empty_world():
    connected().publish(snapshot(2, CDS="a@1>ea b@1>eb", EDS="ea@1 eb@1", RDS="r@1")).hears("LDS")


def test_endpoints_that_go_are_not_spoken_of():
    d = connected().publish(snapshot(2, CDS="a@1>ea b@1>eb", EDS="ea@1", LDS="l@1", RDS="r@1")).hears()
    assert d.session.settled
    d.publish(snapshot(3, CDS="a@1>ea b@1>eb", EDS="ea@1 eb@3", LDS="l@1", RDS="r@1")).hears("EDS eb@3")


def test_a_request_with_a_stale_nonce_is_not_looked_at():
    d = connected()
    old = d.nonces[EDS]
    d.publish(snapshot(2, CDS="a@1>ea b@1>eb", EDS="ea@2 eb@1", LDS="l@1", RDS="r@1")).hears("EDS ea@2")
    d.client(EDS, "eb", nonce=old).hears()
    d.publish(snapshot(3, CDS="a@1>ea b@1>eb", EDS="ea@3 eb@1", LDS="l@1", RDS="r@1"))
    d.ack(EDS, "ea", "eb").hears("EDS ea@3")


def test_a_refused_world_is_reported_and_waits_for_a_change():
    d = connected().publish(snapshot(2, CDS="a@1>ea b@2>eb", EDS="ea@1 eb@1", LDS="l@1", RDS="r@1"))
    d.hears("CDS a@1 b@2", "EDS eb@1").nack(CDS, "cluster b: no").hears()
    assert d.nacks == ["CDS b: cluster b: no"]
    assert d.state(CDS) == "NACK 2/1 cluster b: no"


def test_of_refused_endpoints_the_one_is_found():
    d = sotw().client(EDS, "ea", "eb").hears("EDS ea@1 eb@1").nack(EDS, "no", "ea", "eb")
    d.hears("EDS ea@1").ack(EDS, "ea", "eb").hears("EDS eb@1").nack(EDS, "no", "ea", "eb").hears()
    assert d.nacks == ["EDS eb: no"]
