"""Which processes train one network together: from `--devices`, from `--worker` and `--hosts`, or from TensorFlow's TF_CONFIG."""

import json
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from job.errors import ConfigurationError

_HIGHEST_PORT = 65_535
_DIGITS = 9
# Of one machine: on its cores, each is a process of its own.
_MOST_DEVICES = 64
# Characters of a wrong value in a message.
_SHOWN = 100


@dataclass(frozen=True)
class Peers:
    """A group of processes, of which this is one. The first one is the chief: it alone writes."""

    index: int
    """Of this process, from 0."""
    hosts: tuple[str, ...]
    """HOST:PORT of each, for TensorFlow. The chief's next port is for what is agreed on beside it."""

    @property
    def is_chief(self) -> bool:
        """Whether this process writes."""
        return self.index == 0

    @property
    def control(self) -> tuple[str, int]:
        """Where the chief listens: host and port."""
        host, _, port = self.hosts[0].rpartition(":")
        return host.strip("[]"), int(port) + 1

    @property
    def on_this_machine(self) -> list[int]:
        """Those that have this one's host name."""
        machines = [each.rpartition(":")[0] for each in self.hosts]
        return [index for index, machine in enumerate(machines) if machine == machines[self.index]]

    def describe(self) -> str:
        """In words."""
        return f"this is {self.name(self.index)} of {len(self.hosts)} that train each network together"

    def name(self, index: int) -> str:
        """Of one of them, for people."""
        return f"worker {index} ({self.hosts[index]})"


def resolve_together(
    devices: str | None, worker: str | None, hosts: str | None, environment: Mapping[str, str]
) -> tuple[int | None, Peers | None]:
    """How many of this machine's devices work together, 0 for all and None for one; or the processes that do, on several machines.

    Args:
        environment: As in `resolve_peers`, as are the arguments before but `devices`.

    Raises:
        ConfigurationError: A value that says neither, or both are asked for.
    """
    peers = resolve_peers(worker, hosts, environment)
    if peers and devices is not None:
        raise ConfigurationError(
            f"--devices {devices}: each process of a group has one device; start one for each, or leave out --worker and --hosts (or TF_CONFIG)"
        )
    return None if devices is None else _devices(devices), peers


def _devices(text: str) -> int:
    if text == "all":
        return 0
    number = whole_number(text)
    if not number or number > _MOST_DEVICES:
        raise ConfigurationError(
            f"--devices {text[:_SHOWN]}: expected all, or how many train each network together, 1 to {_MOST_DEVICES}"
        )
    return number


def whole_number(text: str) -> int | None:
    """A number as people count things; None where it is none, or one of more digits than are ever meant."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def part_of(text: str) -> tuple[int, int] | None:
    """I/N, the I-th of N, counted from 0; None where it is something else."""
    index, count = map(whole_number, text.partition("/")[::2])
    return None if index is None or count is None or index >= count else (index, count)


def resolve_peers(worker: str | None, hosts: str | None, environment: Mapping[str, str]) -> Peers | None:
    """The group that this process belongs to; None where it trains by itself.

    Args:
        worker: I/N, the I-th of N.
        hosts: HOST:PORT of each, with commas between.
        environment: In which TF_CONFIG may be set; what is given beside it counts first.

    Raises:
        ConfigurationError: They do not name a group.
    """
    if worker is None and hosts is None:
        return _of_tf_config(environment["TF_CONFIG"]) if environment.get("TF_CONFIG") else None
    if worker is None or hosts is None:
        given, missing = ("--hosts", "--worker I/N") if worker is None else ("--worker", "--hosts HOST:PORT,…")
        raise ConfigurationError(f"{given}: one process of a group needs {missing} as well")
    part = part_of(worker)
    if part is None:
        raise ConfigurationError(
            f"--worker {worker[:_SHOWN]}: expected I/N, the I-th of N processes, counted from 0 (the last is N-1/N)"
        )
    named = tuple(each.strip() for each in hosts.split(","))
    index, count = part
    if len(named) != count:
        raise ConfigurationError(f"--hosts {hosts}: names {len(named)}, but --worker {worker} says that there are {count}")
    return _checked(Peers(index, named), f"--hosts {hosts}")


def _of_tf_config(text: str) -> Peers | None:
    """TensorFlow's variable, which Kubeflow's operators and others set."""
    expected = (
        'expected TensorFlow\'s, such as {"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": 0}}'
    )
    try:
        values: Any = json.loads(text)
        cluster, task = values.get("cluster", {}), values.get("task", {})
        kind, index = str(task.get("type", "worker")), int(task.get("index", 0))
        chiefs, workers = list(cluster.get("chief", [])), list(cluster.get("worker", []))
    except (ValueError, AttributeError, TypeError):
        raise ConfigurationError(f"TF_CONFIG: cannot be read; {expected}") from None
    if not chiefs and not workers:
        return None
    if kind not in ("chief", "worker"):
        raise ConfigurationError(
            f"TF_CONFIG: this process is a {kind}; expected a chief or a worker, all others are not needed"
        )
    hosts = tuple(map(str, [*chiefs, *workers]))
    place = index + (len(chiefs) if kind == "worker" else 0)
    if not 0 <= index < len(chiefs if kind == "chief" else workers):
        raise ConfigurationError(f"TF_CONFIG: this process is {kind} {index}, which the cluster does not have; {expected}")
    return _checked(Peers(place, hosts), "TF_CONFIG") if len(hosts) > 1 else None


def _checked(peers: Peers, where: str) -> Peers:
    for each in peers.hosts:
        host, _, port = each.rpartition(":")
        # The chief needs the next one, too.
        if not host or not 0 < (whole_number(port) or 0) < _HIGHEST_PORT:
            raise ConfigurationError(f"{where}: {each!r} is no HOST:PORT with a port from 1 to {_HIGHEST_PORT - 1}")
    if len(set(peers.hosts)) < len(peers.hosts):
        raise ConfigurationError(f"{where}: names a process twice; each has its own HOST:PORT")
    if len(peers.hosts) < 2:
        raise ConfigurationError(f"{where}: names one process alone, which needs no group; leave --worker and --hosts out")
    return peers


def free_hosts(count: int) -> tuple[str, ...]:
    """Addresses of this machine for a group that is to be started on it: each with a free port after it, of which the chief needs one."""
    found: list[str] = []
    with ExitStack() as stack:
        while len(found) < count:
            one, other = (stack.enter_context(socket.socket()) for _ in range(2))
            with suppress(OSError, OverflowError):
                one.bind(("127.0.0.1", 0))
                port = int(one.getsockname()[1])
                other.bind(("127.0.0.1", port + 1))
                found.append(f"127.0.0.1:{port}")
    return tuple(found)
