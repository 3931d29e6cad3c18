"""Regular expressions that a user wrote. Rust's engine, which pydantic brings, runs in linear time."""

from collections.abc import Callable

from pydantic_core import SchemaValidator, ValidationError, core_schema


def pattern_in_linear_time(pattern: str) -> Callable[[str], bool]:
    """Whether a text has the pattern somewhere. Raises ValueError for one that can't be read."""
    schema = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
    try:
        validator = SchemaValidator(schema)
    except Exception as error:
        raise ValueError(f"The pattern {pattern!r} can't be read: {error}") from error

    def matches(text: str) -> bool:
        try:
            validator.validate_python(text)
        except ValidationError:
            return False
        return True

    return matches
