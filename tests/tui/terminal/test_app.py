import os
from typing import Any

from infertui.tui.terminal.app import TerminalApp
from infertui.tui.terminal.driver import TEXTS, TerminalWriter
from infertui.tui.terminal.stock import StockApp


class Driver:
    """What the application's own driver offers, over a pipe."""

    def __init__(self, fd: int) -> None:
        self.outlet = TerminalWriter(fd)
        self.mouse: list[bool] = []

    @property
    def terminal_gone(self) -> bool:
        return self.outlet.dead

    def set_mouse(self, on: bool) -> None:
        self.mouse.append(on)


def over(driver: Any) -> TerminalApp:
    app = TerminalApp()
    app._driver = driver
    return app


def test_dropped_text_is_told_once_and_only_when_the_terminal_reads_again() -> None:
    reading, writing = os.pipe()
    driver = Driver(writing)
    app = over(driver)
    assert (app.terminal_gone, app.terminal_behind, app.take_loss()) == (False, False, False)
    for _ in range(TEXTS + 1):
        driver.outlet.write("x")
    assert (app.terminal_behind, app.take_loss()) == (True, False)
    driver.outlet.start()
    driver.outlet.stop()
    assert (app.terminal_behind, app.take_loss(), app.take_loss()) == (False, True, False)
    app.report_mouse(True)
    assert driver.mouse == [True]
    os.close(reading)
    os.close(writing)


def test_a_terminal_that_went_away_is_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    driver = Driver(writing)
    driver.outlet.start()
    driver.outlet.write("x")
    driver.outlet.stop()
    assert over(driver).terminal_gone
    os.close(writing)


def test_a_stock_driver_knows_of_no_trouble() -> None:
    for app in (over(object()), StockApp()):
        app.report_mouse(True)
        assert (app.terminal_gone, app.terminal_behind, app.take_loss()) == (False, False, False)
