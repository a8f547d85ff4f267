"""The table of all presets."""

from collections import UserDict
from functools import cached_property

from nnunetv2_ext.presets.preset import Preset
from nnunetv2_ext.presets.user import add_user_presets


class PresetTable(UserDict[str, Preset]):
    """All presets by name: ours, and the user's, which are looked for when the table is first read."""

    def __init__(self, ours: tuple[Preset, ...]) -> None:
        self._ours = ours
        self.problems: list[str] = []
        """a sentence for each preset of the user's that could not be taken, with its file and line"""

    @cached_property
    def data(self) -> dict[str, Preset]:  # type: ignore[override]
        table = {row.name: row for row in self._ours}
        if len(table) < len(self._ours):
            raise ValueError("two presets of ours have one name: every row of the table needs a name of its own")
        self.problems = add_user_presets(table)
        return table

    def reload(self) -> None:
        """Looks for the user's presets again when the table is next read."""
        self.__dict__.pop("data", None)
