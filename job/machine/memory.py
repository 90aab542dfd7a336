"""How much memory this process may use, and whether the system has ended processes for want of it."""

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


def available() -> int | None:
    """Bytes that are free for this process and its children; None where nothing tells.

    The least of what the machine has and of what the limits of its control groups leave.
    """
    found = [_line(_PROC / "meminfo", "MemAvailable:", 1024)]
    for folder in _groups():
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if limit is None or used is None:
            limit, used = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            # What caches files is given back where it is needed.
            cached = _line(folder / "memory.stat", "inactive_file", 1) or _line(
                folder / "memory.stat", "total_inactive_file", 1
            )
            found.append(limit - used + (cached or 0))
    known = [max(0, each) for each in found if each is not None]
    return min(known) if known else None


def kills() -> int | None:
    """Processes that were ended for want of memory, here or on the whole machine so far; None where nothing tells."""
    found = [_line(folder / name, "oom_kill", 1) for folder in _groups() for name in ("memory.events", "memory.oom_control")]
    known = [each for each in [*found, _line(_PROC / "vmstat", "oom_kill", 1)] if each is not None]
    return sum(known) if known else None


def _groups() -> list[Path]:
    """The folders of the control groups that this process is in, outer ones included; in a container only what it sees."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    folders = [_ROOT, _ROOT / "memory"]
    for line in lines:
        number, controllers, path = line.split(":", 2)
        base = _ROOT if number == "0" else _ROOT / "memory" if "memory" in controllers.split(",") else None
        own = Path(path.lstrip("/"))
        folders += [base / each for each in (own, *own.parents) if str(each) != "."] if base and ".." not in own.parts else []
    return [folder for folder in folders if folder.is_dir()]


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _line(path: Path, name: str, unit: int) -> int | None:
    """The number after a name at the beginning of a line."""
    try:
        words = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return None
    return next((int(line[1]) * unit for line in words if len(line) > 1 and line[0] == name and line[1].isdecimal()), None)
