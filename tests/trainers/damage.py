"""Ways in which a file is damaged."""

from pathlib import Path

DAMAGES = ["empty", "cut off", "not written in the middle", "something else"]


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut off": content[:half],
            "not written in the middle": content[:half] + bytes(500) + content[half + 500 :],
            "something else": b"not a checkpoint",
        }[how]
    )
