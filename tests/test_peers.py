"""Which processes train one network together, and what is wrong with a group that is none."""

import json
from typing import Any

import pytest

from job.config import Request, resolve
from job.errors import ConfigurationError
from job.peers import Peers, resolve_peers
from job.presets import PresetName

HOSTS = ("one:2222", "two:2222", "[::1]:9")


def tf_config(cluster: Any, kind: str = "worker", index: int = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_a_group_is_named_by_its_hosts_and_a_place_among_them() -> None:
    found = resolve_peers("2/3", "one:2222, two:2222,[::1]:9", {})
    assert found == Peers(2, HOSTS)
    assert (found.is_chief, found.name(1)) == (False, "worker 1 (two:2222)")
    assert found.control == ("one", 2223)
    assert Peers(0, HOSTS[::-1]).control == ("::1", 10)
    assert resolve_peers(None, None, {}) is None


def test_what_other_tools_set_is_understood() -> None:
    cluster = {"chief": ["one:2222"], "worker": ["two:2222", "[::1]:9"]}
    assert resolve_peers(None, None, tf_config(cluster, "chief")) == Peers(0, HOSTS)
    assert resolve_peers(None, None, tf_config(cluster, "worker", 1)) == Peers(2, HOSTS)
    assert resolve_peers(None, None, tf_config({"worker": list(HOSTS)}, "worker", 1)) == Peers(1, HOSTS)
    # One process alone, as Kubeflow sets it for a job of one.
    assert resolve_peers(None, None, tf_config({"worker": ["one:2222"]})) is None
    assert resolve_peers(None, None, {"TF_CONFIG": "{}"}) is None
    # What is given beside it counts.
    assert resolve_peers("1/3", ",".join(HOSTS), tf_config(cluster, "chief")) == Peers(1, HOSTS)


@pytest.mark.parametrize(
    ("worker", "hosts", "said"),
    [
        ("0/2", None, "--worker: one process of a group needs --hosts HOST:PORT,… as well"),
        (None, "a:1,b:1", "--hosts: one process of a group needs --worker I/N as well"),
        ("2/2", "a:1,b:1", "--worker 2/2: expected I/N"),
        ("x", "a:1,b:1", "--worker x: expected I/N"),
        ("0/3", "a:1,b:1", "--hosts a:1,b:1: names 2, but --worker 0/3 says that there are 3"),
        ("0/2", "a:1,b", "'b' is no HOST:PORT with a port from 1 to 65534"),
        ("0/2", "a:1,b:65535", "'b:65535' is no HOST:PORT"),
        ("0/2", "a:1,a:1", "names a process twice"),
        ("0/1", "a:1", "names one process alone"),
    ],
)
def test_a_group_that_is_none_is_refused(worker: str | None, hosts: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_peers(worker, hosts, {})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TF_CONFIG": "no JSON"}, "TF_CONFIG: cannot be read"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG: cannot be read"),
        (tf_config({"worker": list(HOSTS)}, "ps"), "TF_CONFIG: this process is a ps; expected a chief or a worker"),
        (
            tf_config({"worker": list(HOSTS)}, "worker", 3),
            "TF_CONFIG: this process is worker 3, which the cluster does not have",
        ),
    ],
)
def test_a_variable_that_names_no_group_is_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_peers(None, None, environment)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": "2"}, "--workers 2: a group of processes does one training after the other"),
        ({"preset": PresetName.dependency}, "--preset dependency: is not trained by a group of processes"),
    ],
)
def test_what_a_group_does_not_do_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(Request(**options, worker="0/2", hosts="a:1,b:1"))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"devices": "0"}, "--devices 0: expected all, or how many train each network together, 1 to 64"),
        ({"devices": "both"}, "--devices both: expected all"),
        ({"devices": "2", "worker": "0/2", "hosts": "a:1,b:1"}, "--devices 2: each process of a group has one device"),
        ({"devices": "all", "workers": "3"}, "--workers 3: a group of processes does one training after the other"),
    ],
)
def test_devices_that_are_none_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(Request(**options))
    assert said in str(caught.value)


def test_processes_of_one_machine_are_known() -> None:
    assert Peers(2, ("one:1", "two:1", "one:3", "one:5")).on_this_machine == [0, 2, 3]
