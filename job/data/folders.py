"""Texts as files in the layout of aclImdb, as a folder or a .tar.gz: PART/LABEL/*.txt, or LABEL/*.txt alone."""

import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from job.data import decoding, parts
from job.data.packed import unpacked
from job.data.parts import LEFT_OUT, TEST, TRAIN, UNSAID, VALIDATION
from job.data.rows import Reader, Row
from job.data.sheet import MAX_TEXT, reading
from job.errors import DataError
from job.files.reading import explained, is_inside

LAYOUT = "train/pos/*.txt and train/neg/*.txt (and test/ likewise), or pos/*.txt and neg/*.txt"
_LABELS = ("neg", "pos", "negative", "positive")
_REVIEW = re.compile(rf"(?:^(.*)/|^)({'|'.join(_LABELS)})/.+\.txt$", re.IGNORECASE)
# Stanford's lists of the films' addresses: line n is of the review whose file name begins with n, from 0.
_ADDRESSES = re.compile(r"(?:^|/)urls_(neg|pos)\.txt$")
_NUMBER = re.compile(r"(\d+)_\d+\.txt$")
_TRAILING_CHUNKS = 64
# Of an archive: their names are in memory.
_MAX_FILES = 2_000_000
# Bytes of what is written before a file whose name or attributes are long.
_MAX_HEADER = 1 << 20
_LONG_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_UNSUP = "texts without a label (unsup)"


class Layout:
    """What is what among the names of a folder's or archive's files.

    Args:
        names: Of all files, with slashes, from the folder or archive on.
    """

    expected = f"texts in the layout of aclImdb; expected {LAYOUT}"
    """What there is none of where nothing is found, and what was looked for."""

    def __init__(self, names: list[str]) -> None:
        self.reviews: dict[str, tuple[int, str]] = {}
        """Part and label, by name."""
        self.addresses: list[str] = []
        """The names of lists of addresses."""
        self.passed_over: Counter[str] = Counter()
        """How many files are none of these, by what they are."""
        found: dict[str, tuple[str, str]] = {}
        for name in names:
            match = _REVIEW.search(name)
            if is_hidden(name):
                self.passed_over["hidden files, such as macOS adds"] += 1
            elif match:
                found[name] = (match[1] or "", match[2].lower())
            elif _ADDRESSES.search(name):
                self.addresses.append(name)
            elif any(parts.NAMES.get(folder.lower()) == LEFT_OUT for folder in PurePosixPath(name).parts[:-1]):
                self.passed_over[_UNSUP] += 1
            else:
                self.passed_over[
                    f"{PurePosixPath(name).suffix or PurePosixPath(name).name} files outside {' and '.join(_LABELS[:2])}"
                ] += 1
        named = {name: _part(folder) for name, (folder, _) in found.items()}
        has_parts = any(part != UNSAID for part in named.values())
        for name, (folder, label) in found.items():
            if has_parts and named[name] < 0:
                self.passed_over[f"texts in {folder or 'no folder of a part'}, which names no part"] += 1
            else:
                self.reviews[name] = (named[name], label)

    @staticmethod
    def is_read(name: str) -> bool:
        """Whether the content of a file of this name may be wanted."""
        return bool(_REVIEW.search(name) or _ADDRESSES.search(name))

    def decisions(self, where: str) -> Iterator[str]:
        """A sentence on each thing that was decided."""
        yield from ()

    def describe(self, where: str) -> Iterator[str]:
        """A sentence on what was passed over, if anything was."""
        if self.passed_over:
            said = "; ".join(f"{count} {what}" for what, count in sorted(self.passed_over.items()))
            yield f"passed over in {where}: {said}"


def _part(folder: str) -> int:
    """The part that the innermost folder of a part's name speaks of."""
    names = (parts.NAMES.get(each.lower(), UNSAID) for each in reversed(PurePosixPath(folder).parts))
    return next((part for part in names if part != UNSAID), UNSAID)


def is_hidden(name: str) -> bool:
    """Whether a file of this name is one that systems add, or lies in such a folder."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


class _LayoutReader(Reader):
    """What folders and archives have in common.

    Args:
        layout: What says which files are texts.
    """

    def __init__(self, path: Path, encoding: str | None, layout: type[Layout] = Layout) -> None:
        super().__init__(path)
        self._layout = layout
        self.is_unsup_used = False
        """Whether texts in folders called unsup are read by another reader, and so not passed over."""
        self._encoding = decoding.checked(encoding)
        self._films: dict[tuple[str, str], list[str]] = {}

    def _add_addresses(self, name: str, content: bytes) -> None:
        label = _ADDRESSES.search(name)
        assert label is not None
        self._films[str(PurePosixPath(name).parent), label[1]] = content.decode("utf-8", "replace").split("\n")

    def _row(self, name: str, content: bytes, number: int, found: tuple[int, str]) -> Row:
        if len(content) > MAX_TEXT:
            raise DataError(f"{self.path}: {name} is larger than {MAX_TEXT} bytes")
        part, label = found
        try:
            text = decoding.decode(content, self._encoding)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path}: {name} is not {error.encoding.upper()} (byte {error.start}); name its encoding with --encoding"
            ) from None
        if "\0" in text:
            raise DataError(
                f"{self.path}: {name} holds a zero byte, so it is no text, or in another encoding; name it with --encoding"
            )
        return Row(text, label, number, part, group=self._film(name), id=name)

    def _film(self, name: str) -> str | None:
        path = PurePosixPath(name)
        lines, number = self._films.get((str(path.parent.parent), path.parent.name)), _NUMBER.fullmatch(path.name)
        if lines is None or number is None or int(number[1]) >= len(lines):
            return None
        return lines[int(number[1])].strip() or None

    def _end(self, layout: Layout) -> None:
        if self.is_unsup_used:
            layout.passed_over.pop(_UNSUP, None)
        self.notices += layout.decisions(self.path.name)
        self.warnings += layout.describe(self.path.name)
        if self._films:
            self.notices.append(f"reviews of one film stay together, by the lists of addresses in {self.path.name}")
        if not layout.reviews:
            raise DataError(f"{self.path}: no {layout.expected}")


class FolderReader(_LayoutReader):
    """A folder. Links are followed where they lead to a place inside it, as in a volume that Kubernetes made of a ConfigMap."""

    def rows(self) -> Iterator[Row]:
        paths = self._paths()
        layout = self._layout(list(paths))
        with reading(self.path):
            for name in layout.addresses:
                stay_inside(paths[name], self.path)
                self._add_addresses(name, paths[name].read_bytes())
        order = {part: place for place, part in enumerate((TRAIN, VALIDATION, TEST, UNSAID))}
        in_order = sorted(layout.reviews.items(), key=lambda item: (order[item[1][0]], item[1][1], item[0]))
        for number, (name, found) in enumerate(in_order, 1):
            stay_inside(paths[name], self.path)
            with reading(paths[name]):
                content = paths[name].read_bytes()
            yield self._row(name, content, number, found)
        self._end(layout)

    def files(self) -> list[Path]:
        paths = self._paths()
        layout = self._layout(list(paths))
        return [paths[name] for name in sorted([*layout.reviews, *layout.addresses])]

    def names(self) -> list[str]:
        """Of all files in it, with slashes, from the folder on."""
        return list(self._paths())

    def _paths(self) -> dict[str, Path]:
        """All that lies in the folder, by name; links to folders stand for what is behind them, which is not read."""

        def fail(error: OSError) -> None:
            raise error

        paths: dict[str, Path] = {}
        with explained(self.path, "folders that this user may read"):
            for place, folders, names in os.walk(self.path, onerror=fail):
                links = [name for name in folders if Path(place, name).is_symlink()]
                for name in sorted([*names, *links]):
                    path = Path(place, name)
                    paths[path.relative_to(self.path).as_posix()] = path
        return paths


def stay_inside(path: Path, folder: Path) -> None:
    """Makes sure that a file of a folder is no link that leads out of it."""
    if path.is_symlink() and not is_inside(path, folder):
        raise DataError(f"{path}: is a link that leads out of the data folder; such links are not followed")


class _Member(tarfile.TarInfo):
    """A member of an archive, whose header is not read into memory where it claims to be enormous."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        member = super().frombuf(buf, encoding, errors)
        if member.type in _LONG_HEADERS and member.size > _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


class TarReader(_LayoutReader):
    """A .tar.gz. It is read as a stream, twice, and never unpacked, so no member's name or link can reach outside."""

    def rows(self) -> Iterator[Row]:
        layout, targets = self._survey()
        number = 0
        kept: dict[str, bytes] = {}
        for member, content in self._members():
            name = member.name
            if member.islnk():
                content = kept.get(member.linkname)
                if content is None and name in layout.reviews:
                    raise DataError(f"{self.path}: {name} is a link to {member.linkname}, which is not there before it")
            if content is None:
                continue
            if name in targets:
                kept[name] = content
            if name in layout.reviews:
                number += 1
                yield self._row(name, content, number, layout.reviews[name])
        self._end(layout)

    def files(self) -> list[Path]:
        return [self.path]

    def _survey(self) -> tuple[Layout, set[str]]:
        """What is in it, and the names that its hard links lead to."""
        names, targets, links = [], set(), 0
        for member, content in self._members():
            if member.issym():
                links += 1
                continue
            if member.islnk():
                targets.add(member.linkname)
            if not member.islnk() and not member.isfile():
                continue
            names.append(member.name)
            if _ADDRESSES.search(member.name) and content is not None:
                self._add_addresses(member.name, content)
        layout = self._layout(names)
        if links:
            layout.passed_over["symbolic links"] += links
        return layout, targets

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
        """Each member, and its content where it is a file that is read."""
        number = 0
        try:
            with (
                reading(self.path),
                unpacked(self.path) as stream,
                tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as archive,
            ):
                for count, member in enumerate(archive):
                    # It would keep all of them.
                    archive.members.clear()  # type: ignore[attr-defined]
                    if count == _MAX_FILES:
                        raise DataError(f"{self.path}: holds more than {_MAX_FILES} files; put their texts into a table")
                    content = None
                    if member.isfile() and self._layout.is_read(member.name):
                        if member.size > MAX_TEXT:
                            raise DataError(f"{self.path}: {member.name} is larger than {MAX_TEXT} bytes")
                        file = archive.extractfile(member)
                        content = file.read() if file else b""
                        if len(content) != member.size:
                            raise EOFError("it ends in the middle of a file")
                        number += 1
                    yield member, content
                # tarfile stops at the archive's end mark; only gzip's own end, after it, shows that the file is whole.
                for _ in range(_TRAILING_CHUNKS):
                    if not stream.read(1 << 20):
                        break
                else:
                    raise EOFError("it goes on after the archive's end")
        except tarfile.TarError as error:
            raise DataError(
                f"{self.path}: not a whole .tar.gz ({error or 'it is cut off'}), {number} texts could be read; fetch it again"
            ) from None
