"""Holds the admin API against its own description with schemathesis: examples, boundary values, made-up data good and bad,
and sequences of calls.

Arguments: the admin listener's address, the file of its token, and a file to which it writes, as JSON, how often each call
was answered with which status. Ends with another code than 0 when an answer was not as described.
"""

import collections
import json
import pathlib
import sys

import schemathesis
from schemathesis.cli import schemathesis as command

statuses = collections.defaultdict(collections.Counter)


@schemathesis.serializer("application/toml")
def toml(_context, value):
    """A policy travels as it is written; data that is no text, as JSON would write it."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")


@schemathesis.hook
def after_call(_context, case, response):
    statuses[case.operation.label][response.status_code] += 1


def main():
    address, token_file, out = sys.argv[1:]
    token = pathlib.Path(token_file).read_text().strip()
    arguments = [
        "--no-color",
        "run",
        f"{address}/api/v1/openapi.json",
        f"--header=Authorization: Bearer {token}",
        "--phases=examples,coverage,fuzzing,stateful",
        "--max-examples=15",
        "--seed=1",
        # A busy machine takes its time.
        "--request-timeout=60",
        "--continue-on-failure",
        # JSON Schema cannot say what a policy is, nor a moment such as 24h: such data may be refused.
        "--exclude-checks=positive_data_acceptance",
    ]
    try:
        command.main(args=arguments)
    finally:
        pathlib.Path(out).write_text(json.dumps(statuses))


if __name__ == "__main__":
    main()
