import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tasks.sandbox import store
from tasks.sandbox.model import HostKind, Spec

PORT = 2222


def test_a_name_keeps_its_address_until_it_is_released(tmp_path: Path) -> None:
    first = store.allot(tmp_path, "web-1", PORT)

    assert store.allot(tmp_path, "web-1", PORT) == first
    assert store.allot(tmp_path, "web-2", PORT) != first
    store.release(tmp_path, "web-1")
    assert "web-1" not in (tmp_path / "addresses.json").read_text()


def test_addresses_are_of_the_loopback_but_not_near_its_own(tmp_path: Path) -> None:
    found = [IPv4Address(store.allot(tmp_path, f"h{number}", PORT)) for number in range(50)]

    assert len(set(found)) == 50
    assert all(one in IPv4Network("127.0.0.0/8") and one not in IPv4Network("127.0.0.0/16") for one in found)


def test_many_at_once_get_different_addresses(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: store.allot(tmp_path, f"h{number}", PORT), range(40)))

    assert len(set(found)) == 40


def test_an_address_that_another_program_listens_on_is_passed_over(tmp_path: Path) -> None:
    wanted = store.allot(tmp_path, "web-1", PORT)
    store.release(tmp_path, "web-1")
    with socket.create_server((wanted, PORT)):
        assert store.allot(tmp_path, "web-1", PORT) != wanted


def test_a_record_is_read_back_without_its_user_data(tmp_path: Path) -> None:
    spec = Spec(name="web-1", kind=HostKind.LIGHT, directory=tmp_path, user_data="secret", packages=False)
    store.save(spec, "127.1.2.3")

    kept = spec.model_copy(update={"address": "127.1.2.3", "user_data": Spec.model_fields["user_data"].default})
    assert store.load(tmp_path, "web-1") == kept
    assert "secret" not in (tmp_path / "hosts/web-1/host.json").read_text()
    assert store.names(tmp_path) == ["web-1"]
    assert store.load(tmp_path, "web-2") is None


def test_a_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    store.write(path, "old")
    store.write(path, "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["file"]
