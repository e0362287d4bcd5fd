"""Who a request comes from."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sampan.api.status import ApiError
from sampan.base.http.types import Request
from sampan.ca.authority import Authority, Leaf
from sampan.server.authn import ANONYMOUS, Authenticator
from sampan.server.types import User

AUTHENTICATOR = Authenticator({"t0ken": User("tina", ("devs",), "7")})


def request(header="", certificate=None):
    return Request("GET", "/", "/", "", {"authorization": header} if header else {}, certificate=certificate)


def test_a_certificate_names_the_user_and_its_groups(tmp_path):
    now = datetime.datetime.now(datetime.UTC)
    authority = Authority.open(tmp_path, "test-ca", now)
    authority.ensure(Leaf("admin", "alice", groups=("system:masters", "devs"), client=True), now)
    der = x509.load_pem_x509_certificate((tmp_path / "admin.crt").read_bytes()).public_bytes(Encoding.DER)
    user = AUTHENTICATOR.user(request(certificate=der))
    assert user.name == "alice"
    assert set(user.groups) == {"system:masters", "devs", "system:authenticated"}


def test_a_token_is_its_user():
    user = AUTHENTICATOR.user(request("Bearer t0ken"))
    assert user == User("tina", ("devs", "system:authenticated"), "7")
    assert AUTHENTICATOR.user(request()) is ANONYMOUS


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic dDp0", "t0ken"])
def test_wrong_credentials_are_not_nobody(header):
    with pytest.raises(ApiError) as error:
        AUTHENTICATOR.user(request(header))
    assert error.value.code == 401
