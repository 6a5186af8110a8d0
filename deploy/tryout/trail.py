"""Three questions to the trail: asked in SQL that is shown, and checked against what was done."""

from dataclasses import dataclass

from deploy.tryout.errors import ProofError


@dataclass(frozen=True, slots=True)
class Question:
    """One question in words and in SQL."""

    words: str
    sql: str


WHO = Question(
    "Who answered for what the AI did, when, and why?",
    """\
SELECT strftime(make_timestamp(decided_ns // 1000), '%H:%M:%S') AS "when (UTC)",
       decided_by AS who, answer, decision_reason AS reason, what
FROM requests ORDER BY opened_ns""",
)
WHAT = Question(
    "What was stopped, what could the host promise, and what became of it?",
    """\
SELECT kind, rule, guarantee, ground, outcome,
       round((outcome_ns - opened_ns) / 1e9, 1) AS "waited (s)"
FROM requests ORDER BY opened_ns""",
)
WITHOUT = Question(
    "Did anything run on without a person's answer?",
    """\
SELECT count(*) AS "ran on",
       count(*) FILTER (ground <> 'decision' OR NOT explained)
         AS "without an answer"
FROM releases""",
)
QUESTIONS = (WHO, WHAT, WITHOUT)

Row = list[object]


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer as the person gave it."""

    answer: str
    reason: str

    @property
    def outcome(self) -> str:
        """What the host must have done about it."""
        return "released" if self.answer == "approve" else "killed"


def check(answers: list[Answered], who: list[Row], what: list[Row], without: list[Row]) -> None:
    """Raise ProofError unless the trail says of every answer what was really answered."""
    said = [(str(row[2]), str(row[3])) for row in who]
    given = [(each.answer, each.reason) for each in answers]
    if said != given:
        raise ProofError(f"the trail says {said}, but the answers were {given}")
    done = [(str(row[3]), str(row[4])) for row in what]
    expected = [("decision", each.outcome) for each in answers]
    if done != expected:
        raise ProofError(f"the trail says {done}, but it should be {expected}")
    ran_on = sum(each.answer == "approve" for each in answers)
    if without != [[ran_on, 0]]:
        raise ProofError(f"the trail says {without} ran on, but it should be {[[ran_on, 0]]}")
