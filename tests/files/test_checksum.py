from pathlib import Path

from job.files import checksum


def test_a_checksum_is_of_the_content_alone_by_any_algorithm(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert checksum.of_file(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksum.of_file(tmp_path / "file", "md5") == "900150983cd24fb0d6963f7d28e17f72"
