"""Goal: leaves verify against the root, carry the names asked for, and are only re-issued when something changed."""

from datetime import UTC, datetime, timedelta

from cryptography import x509

from sampan.ca.authority import Authority, Leaf

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVER = Leaf("server", "kube-apiserver", hosts=("kubernetes", "127.0.0.1"), server=True)


def read(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_leaf_is_signed_by_the_root_and_has_its_names(tmp_path):
    authority = Authority.open(tmp_path, "sampan-test", NOW)
    authority.ensure(SERVER, NOW)
    leaf, root = read(tmp_path / "server.crt"), read(tmp_path / "ca.crt")
    leaf.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600


def test_the_root_and_a_good_leaf_are_kept(tmp_path):
    Authority.open(tmp_path, "sampan-test", NOW).ensure(SERVER, NOW)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    Authority.open(tmp_path, "sampan-test", NOW).ensure(SERVER, NOW)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_leaf_is_issued_anew_when_hosts_change_or_time_runs_out(tmp_path):
    authority = Authority.open(tmp_path, "sampan-test", NOW)
    authority.ensure(SERVER, NOW)
    first = read(tmp_path / "server.crt").serial_number
    authority.ensure(Leaf("server", "kube-apiserver", hosts=("other",), server=True), NOW)
    second = read(tmp_path / "server.crt").serial_number
    authority.ensure(Leaf("server", "kube-apiserver", hosts=("other",), server=True), NOW + timedelta(days=330))
    third = read(tmp_path / "server.crt").serial_number
    assert len({first, second, third}) == 3


def test_user_and_groups_are_in_the_subject(tmp_path):
    Authority.open(tmp_path, "c", NOW).ensure(Leaf("admin", "admin", ("system:masters",), client=True), NOW)
    assert read(tmp_path / "admin.crt").subject.rfc4514_string() == "CN=admin,O=system:masters"
