"""Reports folders that a runner is asked about."""

import threading
from datetime import datetime
from pathlib import Path

import pytest
from support.hanging import hanging_files
from support.runs import HANG_S, run, simulated

from infertui.errors import UsageError
from infertui.results.runs import BEGUN, Begun, Store, is_under_way
from infertui.results.table import ResultQuery
from infertui.runner import queries as reports_module
from infertui.runner.queries import Reports


def test_a_folder_that_does_not_answer_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, good = tmp_path / "hanging", tmp_path / "good"
    run(simulated(), out=hanging)
    run(simulated(), out=good)
    reports = Reports()
    with hanging_files(monkeypatch, hanging) as reached:
        threading.Thread(target=lambda: reports.page(ResultQuery(str(hanging))), daemon=True).start()
        assert reached.wait(HANG_S)
        pages = []
        other = threading.Thread(target=lambda: pages.append(reports.page(ResultQuery(str(good)))), daemon=True)
        other.start()
        other.join(HANG_S)
        assert [page.total for page in pages] == [1]


def test_a_run_is_under_way_while_its_folder_is_open(tmp_path: Path) -> None:
    (result,), _ = run(simulated(), out=tmp_path)
    store = Store(tmp_path)
    folder = store.create_run("r", datetime.now().astimezone())
    folder.write_config("")
    assert not is_under_way(folder.path)
    folder.write_begun(Begun("r", result.started, result.own_config, result.fingerprint))
    assert is_under_way(folder.path)
    with pytest.raises(UsageError, match="under way"):
        Reports().delete(str(tmp_path), [folder.id])
    folder.close()
    assert not is_under_way(folder.path)
    assert (folder.path / BEGUN).exists()
    Reports().delete(str(tmp_path), [folder.id])
    assert not folder.path.exists()


def test_a_run_that_is_cut_off_later_appears_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "LOOK_S", 0.0)
    (result,), _ = run(simulated(), out=tmp_path)
    reports = Reports()
    assert reports.page(ResultQuery(str(tmp_path))).total == 1
    folder = Store(tmp_path).create_run("r", datetime.now().astimezone())
    folder.write_begun(Begun("r", result.started, result.own_config, result.fingerprint))
    assert reports.page(ResultQuery(str(tmp_path))).total == 1
    folder.close()
    assert reports.page(ResultQuery(str(tmp_path), filter="interrupted")).matching == 1


@pytest.mark.parametrize("out", ["reports", "", "/a\0b"])
def test_a_folder_that_cannot_be_is_refused(out: str) -> None:
    reports = Reports()
    for ask in (
        lambda: reports.page(ResultQuery(out)),
        lambda: reports.details(out, "r"),
        lambda: reports.delete(out, ["r"]),
    ):
        with pytest.raises(UsageError, match="not an absolute path"):
            ask()
