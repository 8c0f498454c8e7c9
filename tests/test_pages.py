"""What the pages for newcomers say is so: messages are the package's own, commands exist."""

import re
import shlex
from pathlib import Path

from sciml import cli

ROOT = Path(__file__).resolve().parents[1]
SOURCES = "\n".join(
    # Texts that stand in two halves in the source are one to the reader.
    re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))
    for path in (ROOT / "sciml").rglob("*.py")
)
SYSTEM = ("Permission denied", "No space left on device", "libcudart")


def messages() -> list[str]:
    """The messages in the first column of the tables of troubleshooting."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]


def test_every_message_of_troubleshooting_is_one_of_the_package():
    assert len(messages()) > 20
    for message in messages():
        for part in re.split(r"\.\.\.|'[^']*'|\(.*?\)|\b\d+\b|\bkill -9\b|RECIPE", message):
            part = part.strip(" ,?-:'")
            if len(part) > 4 and not any(word in part for word in SYSTEM):
                assert part in SOURCES, (message, part)


def test_commands_of_the_pages_exist():
    for name in ("index.md", "troubleshooting.md", "which-tool.md"):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        for command in re.findall(r"(?:(?<=[| (:])`|\$ )(sciml [^`\n]+)", text):
            words = shlex.split(command)
            assert words[1] in {**cli.general(), **cli.DOMAINS}, command
            if words[1] in cli.DOMAINS:
                assert words[2] in cli.of_domain(words[1]), command


def test_pictures_of_the_landing_page_are_there():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(pictures) == 4
    for picture in pictures:
        assert (ROOT / "docs" / picture).is_file(), picture
