"""A filter of results as a condition of SQL over the tables of `results.index`."""

from infertui.metrics.filter import FilterError, Term
from infertui.metrics.registry import metric_of


def where(terms: tuple[Term, ...]) -> tuple[str, list[str | float]]:
    """The conditions, and their parameters. Raises FilterError for one about a key that the index does not have."""
    parts: list[str] = []
    parameters: list[str | float] = []
    for term in terms:
        sql, values = _condition(term)
        # What is not available matches no comparison, and so every negated one.
        parts.append(f"NOT coalesce({sql}, 0)" if term.negated else sql)
        parameters += values
    return " AND ".join(parts) or "1", parameters


def _condition(term: Term) -> tuple[str, list[str | float]]:
    key, operator, value = term.key, term.operator, term.value
    if term.of_config:
        raise FilterError(f"{key} is a key of configs: `infertui results` filters by it, this table does not")
    match key:
        case "":
            return "seq IN (SELECT seq FROM words WHERE instr(text, ?))", [value]
        case "valid":
            return "valid = ?", [int(value)]
        case "flag":
            return "instr(flags, ?)", [f"\n{value}\n" if operator == "=" else value]
    kind, column = metric_of(key).unit.kind, f'"{key}"'
    if isinstance(value, str):
        return (f"lower({column}) = ?", [value]) if operator == "=" else (f"instr(lower({column}), ?)", [value])
    if kind == "moment":
        return f"started_at {operator} ?", [value]
    if kind == "length":
        return f"(typeof({column}) = 'integer' AND {column} {operator.replace(':', '=')} ?)", [value]
    if operator in (":", "="):
        return f"{column} BETWEEN ? AND ?", [value - term.slack, value + term.slack]
    return f"{column} {operator} ?", [value]
