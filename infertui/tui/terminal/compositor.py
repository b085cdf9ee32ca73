"""A compositor that asks only for what it is going to show.

Textual's asks every widget in view for all of its lines at each update, however small, and then takes what comes first.
On a screen of which a few lines change twice a second that is a quarter of all the work. It leans on the compositor of
Textual 8, and shows the same.
"""

from collections.abc import Callable, Mapping, Sequence

from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget


class SparingCompositor(Compositor):
    """Draws what shows of what changed."""

    def __init__(self) -> None:
        super().__init__()
        self._painted: tuple[Region, ...] = ()
        """What an update of parts is to paint; empty: everything."""

    def render_partial_update(self) -> ChopsUpdate | None:
        """What changed."""
        self._painted = tuple(self._dirty_regions)
        try:
            return super().render_partial_update()
        finally:
            self._painted = ()

    def _render_chops(self, crop: Region, is_rendered_line: Callable[[int], bool]) -> Sequence[Mapping[int, Strip]]:
        if not self._painted:
            return super()._render_chops(crop, is_rendered_line)
        every, _ = self.visible_widgets, self.cuts  # which are worked out from all widgets when first asked for
        self._visible_widgets = asked = needed(every, self._painted)
        try:
            return super()._render_chops(crop, is_rendered_line)
        finally:
            if self._visible_widgets is asked:  # else a widget asked where things are, and they had moved meanwhile
                self._visible_widgets = every


class SparingScreen(Screen[None]):
    """A screen with that compositor."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._compositor = SparingCompositor()


def needed(
    visible: Mapping[Widget, tuple[Region, Region]], painted: Sequence[Region]
) -> dict[Widget, tuple[Region, Region]]:
    """Of the widgets in view, each with its region and clip, front ones first: those that show in what is painted.

    A widget fills its region, so that nothing behind it shows there.
    """
    found: set[Widget] = set()
    for wanted in painted:
        for widget, (region, clip) in visible.items():
            shown = region.intersection(clip)
            if shown.overlaps(wanted):
                found.add(widget)
                if shown.contains_region(wanted):
                    break
    return {widget: place for widget, place in visible.items() if widget in found}
