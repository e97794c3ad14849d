"""Claims as data: what a file may say, which error a slip gives, and that one more claim is one file."""

import shutil

import pytest

from book.study import entries, verdicts
from book.study.verdicts import Bound, Measured, Scope, Verdict, claims

WHOLE = r"""
note: |
  Fixed beforehand.
phrases:
  long: above {{ long_sequence }} frames
checks:
  sure:
    identity: $\frac{1}{N}$ is small {{ long }}
  size:
    measurement: size at m = {{ short_sequence_m[1] }}
    below: 0.5
    unit: m
    measured_on: small network
    family: path_adds
  rounded:
    measurement: deviation
    within: {printed: rank_deviation}
claims:
  eq-4:
    place: §3.2
    printed: >-
      $\dot H=-\int\rho$ is
      printed.
    corrected: It grows.
    about: VGGT
    expected: contradicted
    because: by its sign
    refutes: [sure]
    breaks: [size, rounded]
"""


@pytest.fixture
def study(tmp_path):
    """A folder of topics with one file of claims."""
    (tmp_path / "flow").mkdir()
    (tmp_path / "flow" / "claims.yml").write_text(WHOLE)
    return tmp_path


def test_a_file_becomes_checks_and_claims(study):
    part = claims.part("flow", study)
    sure, size, rounded = part.checks
    assert sure.states == r"$\frac{1}{N}$ is small above 500 frames"
    assert (sure.id, sure.kind, sure.bound) == ("flow/sure", "identity", None)
    assert (size.states, size.bound, size.unit) == ("size at m = 0.5", Bound(high=0.5), "m")
    assert (size.measured_on, sure.measured_on) == (Measured.SMALL, None)
    assert (size.family, sure.family) == ("path_adds", "")
    assert rounded.bound == Bound(7.5, 8.5, inclusive=True)
    (row,) = part.claims
    assert row.printed == r"$\dot H=-\int\rho$ is printed."
    assert (row.id, row.chapter, row.expected) == ("eq-4", "flow", Verdict.CONTRADICTED)
    assert row.about is Scope.VGGT
    assert row.checks == ("flow/sure", "flow/size", "flow/rounded")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "expected: contradicted",
            "expected: refuted",
            r"claim eq-4, expected: 'refuted' is none of holds, ",
        ),
        ("about: VGGT", "about: VGGT-1B", r"claim eq-4, about: 'VGGT-1B' is none of any network, VGGT"),
        ("on: small network", "on: mini", r"check size, measured_on: 'mini' is none of small network"),
        ("    because: by its sign\n", "", r"claim eq-4: 'because' missing"),
        ("because:", "becuase:", r"claim eq-4: unknown 'becuase'; allowed: place, printed, corrected"),
        ("refutes: [sure]", "refutes: sure", r"claim eq-4, refutes: expected a list of names, got 'sure'"),
        ("    below: 0.5\n", "", r"check size: is either an identity.* or a measurement with one of below"),
        ("below: 0.5", "below: small", r"check size, below: expected a number, got 'small'"),
        ("below: 0.5", "below: yes", r"check size, below: expected a number, got True"),
        ("below: 0.5", "within: [2, 1]", r"check size, within: the interval from 2 to 1 is empty"),
        ("{printed: rank_deviation}", "{printed: rank}", r"check rounded, within: .* no number 'rank'"),
        ("{{ long }}", "{{ short }}", r"check sure: nothing is called \{\{ short \}\}; known: .*long"),
        ("  long: ", "  frames: ", r"phrases: frames is a number of the paper"),
        ("  size:", "  sure:", r"line 9: 'sure' stands here twice"),
        ("    unit: m", "   unit: m", r"claims.yml, line 12: "),
        ("note: |", "notes: |", r"claims.yml: unknown 'notes'; allowed: note, phrases, checks, claims"),
        ("  eq-4:\n", "  4:\n", r"claims: expected names with values"),
    ],
)
def test_a_broken_file_gives_one_error_that_says_where(study, old, new, message):
    assert old in WHOLE
    (study / "flow" / "claims.yml").write_text(WHOLE.replace(old, new, 1))
    with pytest.raises(entries.EntryError, match=message) as caught:
        claims.part("flow", study)
    assert "flow/claims.yml" in str(caught.value)


def test_one_more_claim_is_one_file(tmp_path):
    for topic in claims.known():
        (tmp_path / topic).mkdir()
        shutil.copy(claims.STUDY / topic / "claims.yml", tmp_path / topic)
    before = verdicts.register(tmp_path)
    assert before == verdicts.register()
    path = tmp_path / "entropy" / "claims.yml"
    head, tail = path.read_text().split("\nclaims:\n")
    check = "  one-more:\n    identity: it is so\n"
    claim = "  claim-one-more:\n    place: §9\n    printed: P\n    corrected: Q\n    expected: holds\n"
    claim += "    because: it is so\n    supports: [one-more]\n"
    path.write_text(f"{head}{check}\nclaims:\n{claim}{tail}")
    after = verdicts.register(tmp_path)
    assert set(after.checks) - set(before.checks) == {"entropy/one-more"}
    assert [c for c in after.claims if c.id != "claim-one-more"] == list(before.claims)
    assert after.claim("claim-one-more").chapter == "entropy"


def test_chapters_stand_in_the_order_of_the_book_and_each_has_a_page(tmp_path):
    chapters = verdicts.register().chapters
    assert chapters[0] == "architecture" and chapters[-1] == "printed_evidence"
    assert set(chapters) == set(claims.known())
    contents = tmp_path / "_toc.yml"
    contents.write_text("parts: [{chapters: [{file: book/flow}]}]")
    with pytest.raises(entries.EntryError, match="lists no chapter for the claims of entropy"):
        claims.in_order_of_the_book(("flow", "entropy"), contents)


def test_no_blank_is_left_open():
    register = verdicts.register()
    texts = [c.states for c in register.checks.values()]
    texts += [t for c in register.claims for t in (c.printed, c.corrected, c.because)]
    assert not [t for t in texts if entries.BLANK.search(t)]


def test_a_chapter_reads_no_other_chapters_claims(monkeypatch):
    opened, read = [], entries.read
    monkeypatch.setattr(entries, "read", lambda path, keys: opened.append(path) or read(path, keys))
    verdicts.open_chapter("entropy")
    assert [path.parent.name for path in opened] == ["entropy"]
