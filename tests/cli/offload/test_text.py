"""A study as text: what a narrow terminal has no room for is left out, and named."""

from msgspec.structs import replace
from support.offload_law import MIB, Law

from infertui.analysis.offload.study import OffloadStudy, Subject, study_of
from infertui.cli.offload.text import finding_lines, table_lines


def studied() -> OffloadStudy:
    law = Law(23)
    points = [law.point(layers) for layers in (0, 12, 20)]
    return study_of("profile-1", Subject("m", "llama-cpp", layers=23), law.card, points, asked=(), notes=())


def test_a_table_fits_a_terminal_and_a_file_has_all_of_it() -> None:
    found = studied()
    whole = table_lines(found)
    assert "VRAM GB" in whole[0]
    assert not any("no room" in line for line in whole)
    assert max(map(len, table_lines(found, 200))) == max(map(len, whole)), "nothing is left out where there is room"
    narrow = table_lines(found, 50)
    assert max(map(len, narrow[:-1])) <= 50
    assert narrow[-1].startswith("(no room for ")
    assert "VRAM %" in narrow[0]
    assert "tok/s" in narrow[0]
    assert f"{(600 + 20 * 200) * MIB / 1e9:.2f}" in whole[3]


def test_it_is_told_where_others_took_more_than_when_the_study_began() -> None:
    """Of a card of 6 GiB, 2 % are 123 MiB."""
    found = studied()

    def told(used_mib: int | None) -> list[str]:
        points = [replace(row, point=replace(row.point, others=used_mib and used_mib * MIB)) for row in found.rows]
        study = replace(found, rows=tuple(points), card=replace(found.card, others=100 * MIB))
        return [line for line in finding_lines(study) if line.startswith("others:")]

    assert told(None) == told(100) == told(220) == []
    assert told(230) == [
        "others: up to 230 MiB of the GPU were in use by other programs during runs, and 100 MiB when the study began, "
        "which is what the ceiling counts"
    ]
