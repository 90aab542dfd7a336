"""Free memory: the least of what the machine has and of what each control group leaves."""

from pathlib import Path

import pytest

from job.machine import memory

GIB = 1 << 30


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    write(tmp_path / "proc", meminfo=f"MemTotal: 99 kB\nMemAvailable: {16 << 20} kB\n", vmstat="nr_free_pages 4\noom_kill 2\n")
    write(tmp_path / "proc" / "self", cgroup="0::/\n")
    return tmp_path


def test_without_limits_it_is_what_the_machine_has(machine: Path) -> None:
    assert memory.available() == 16 * GIB
    assert memory.kills() == 2


def test_a_container_s_limit_bounds_it_and_caches_are_given_back(machine: Path) -> None:
    limits = {"memory__max": str(4 * GIB), "memory__current": str(3 * GIB), "memory__stat": f"anon 1\ninactive_file {GIB}\n"}
    write(machine / "cgroup", **limits, memory__events="low 0\noom_kill 5\n")
    assert memory.available() == 2 * GIB
    assert memory.kills() == 7
    write(machine / "cgroup", memory__max="max")
    assert memory.available() == 16 * GIB


def test_an_outer_group_s_limit_counts_too(machine: Path) -> None:
    write(machine / "proc" / "self", cgroup="0::/slice/job\n")
    write(machine / "cgroup" / "slice" / "job", memory__max="max", memory__current="5")
    write(machine / "cgroup" / "slice", memory__max=str(3 * GIB), memory__current=str(GIB))
    assert memory.available() == 2 * GIB


def test_groups_of_the_first_kind_are_read_as_well(machine: Path) -> None:
    write(machine / "proc" / "self", cgroup="4:memory:/job\n1:cpu:/job\n")
    folder = machine / "cgroup" / "memory" / "job"
    write(
        folder, memory__limit_in_bytes=str(2 * GIB), memory__usage_in_bytes=str(GIB), memory__stat="total_inactive_file 1024\n"
    )
    assert memory.available() == GIB + 1024


def test_where_nothing_tells_nothing_is_known(machine: Path) -> None:
    for path in (machine / "proc" / "meminfo", machine / "proc" / "vmstat", machine / "proc" / "self" / "cgroup"):
        path.unlink()
    assert memory.available() is None
    assert memory.kills() is None
