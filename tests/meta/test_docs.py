"""The documents say what the code says, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

from wire import subjects
from wire.ids import HoldId, HostId, OrderId, RequestId

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *CHECKOUT.glob("*.md")])
PAGE = re.compile(r"docs/[a-z-]+\.md")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")

ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("stream", subjects.STREAMS, ids=lambda stream: str(stream.name))
def test_the_architecture_names_every_stream(stream: subjects.Stream) -> None:
    """Who operates NATS finds each stream that Holdfast makes."""
    assert f"`{stream.name}`" in ARCHITECTURE


@pytest.mark.parametrize("bucket", subjects.BUCKETS)
def test_the_architecture_names_every_bucket(bucket: str) -> None:
    """Who operates NATS finds each key-value bucket that Holdfast makes."""
    assert f"`{bucket}`" in ARCHITECTURE


@pytest.mark.parametrize(
    "subject",
    [
        subjects.event(HostId("<host>")),
        subjects.hold(HostId("<host>"), HoldId("<hold>")),
        subjects.ask(RequestId("<request>")),
        subjects.vote(RequestId("<request>")),
        subjects.decision(RequestId("<request>")),
        subjects.verdict(HostId("<host>"), HoldId("<hold>")),
        subjects.order(HostId("<host>"), OrderId("<order>")),
        subjects.checkpoint("<trail>", 1).replace("1", "<number>"),
    ],
)
def test_the_architecture_names_every_subject(subject: str) -> None:
    """Who writes NATS permissions finds each subject, as the code spells it."""
    assert f"`{subject}`" in ARCHITECTURE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    """A reader who follows a link finds the page."""
    broken = [
        target
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:")
        if not (page.parent / target).exists()
    ]
    assert not broken, f"{page.relative_to(CHECKOUT)}: {broken}"


def test_the_index_lists_every_page() -> None:
    """Whoever opens docs/ finds every page from its front."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    listed = set(LINK.findall(index))
    missing = [page.name for page in DOCS.glob("*.md") if page.name not in {*listed, "README.md"}]
    assert not missing, missing


def test_every_page_that_something_points_to_is_there() -> None:
    """An error message or a comment that names a page sends nobody into the void."""
    named = {
        page
        for directory in ("agent", "collector", "deploy", "rules", "wire")
        for path in (CHECKOUT / directory).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
        for page in PAGE.findall(path.read_bytes().decode(errors="replace"))
    }
    assert named
    missing = sorted(page for page in named if not (CHECKOUT / page).exists())
    assert not missing, missing
