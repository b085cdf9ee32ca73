"""A filter of results as a condition of SQL over the tables of `results.index`."""

from infertui.metrics.filter import Term, fold
from infertui.metrics.registry import metric_of

Parameter = str | float | None


def where(terms: tuple[Term, ...]) -> tuple[str, list[Parameter]]:
    """The conditions, and their parameters."""
    parts: list[str] = []
    parameters: list[Parameter] = []
    for term in terms:
        sql, values = _condition(term)
        # What is not available matches no comparison, and so every negated one.
        parts.append(f"NOT coalesce({sql}, 0)" if term.negated else sql)
        parameters += values
    return " AND ".join(parts) or "1", parameters


def _condition(term: Term) -> tuple[str, list[Parameter]]:
    key, operator, value = term.key, term.operator, term.value
    if term.of_config:
        found, parameters = _of_config(term)
        return f"seq IN (SELECT seq FROM configs WHERE {found})", parameters  # noqa: S608 (texts of our own)
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


def _of_config(term: Term) -> tuple[str, list[Parameter]]:
    """A condition on a key of the config: as kept, else its default where the line has defaults."""
    from infertui.results.config_keys import default_of

    path, default = f'$."{term.key}"', default_of(term.key)
    value = "CASE WHEN json_type(keys, ?) IS NOT NULL THEN json_extract(keys, ?) WHEN defaults THEN ? END"
    parameters: list[Parameter] = [path, path, default if isinstance(default, str | int | float) else None]
    plain = "coalesce(json_type(keys, ?), '') NOT IN ('array', 'object')"
    if isinstance(term.value, str):
        found = f"instr(lower({value}), ?)" if term.operator == ":" else f"{value} = ?"
        text = fold(term.value) if term.operator == ":" else term.value
        return f"{plain} AND typeof({value}) = 'text' AND {found}", [path, *parameters, *parameters, text]
    operator = "=" if term.operator in (":", "=") else term.operator
    return (
        f"{plain} AND typeof({value}) IN ('integer', 'real') AND {value} {operator} ?",
        [path, *parameters, *parameters, term.value],
    )
