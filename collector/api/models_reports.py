"""The dashboard and evidence as the API describes them."""

from typing import Any

from pydantic import BaseModel, Field

from collector.report.evidence import Finding


class PeriodOut(BaseModel):
    """From `from_ns` on and before `to_ns`, nanoseconds since 1970 (UTC)."""

    from_ns: int
    to_ns: int


class ChartOut(BaseModel):
    """One chart of the dashboard, as the table of what it shows."""

    name: str
    title: str
    sql: str = Field(description="the SELECT behind it")
    columns: list[str]
    rows: list[list[Any]]
    truncated: bool


class ReportOut(BaseModel):
    """The dashboard of a period."""

    period: PeriodOut
    charts: list[ChartOut]


class ControlOut(BaseModel):
    """One control of a framework."""

    id: str
    name: str
    finding: Finding
    about: str = Field(description="what was looked at")
    beyond: str = Field(description="what was not")
    measures: list[str]


class RowsOut(BaseModel):
    """Some rows, as text fit to be shown, and the SELECT that gives them again."""

    sql: str
    columns: list[str]
    rows: list[list[str]]
    truncated: bool


class ObservationOut(BaseModel):
    """One thing that was observed."""

    measure: str
    title: str
    says: str
    finding: Finding
    seen: int = Field(description="how much there was to look at")
    gaps: int = Field(description="how much of it should not be")
    figures: dict[str, str]
    query: str = Field(description="the SELECT behind the figures")
    sample: RowsOut | None
    exceptions: RowsOut | None
    trouble: str = Field(description="why the question could not be answered; else empty")


class EvidenceOut(BaseModel):
    """What was observed for each control of a framework; never that it is met."""

    framework: str
    name: str
    edition: str
    period: PeriodOut
    controls: list[ControlOut]
    observations: list[ObservationOut]
